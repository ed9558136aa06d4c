"""What follows from a rollout's judge: promotion or rollback, through the history."""
