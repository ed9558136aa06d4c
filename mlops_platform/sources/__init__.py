"""Raw tables: what landed, ingested exactly once, the refused rows kept in quarantine with their reason."""
