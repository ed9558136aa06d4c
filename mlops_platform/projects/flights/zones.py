"""The time zone of every destination, so that local arrival times become UTC.

`airports.csv` gives the zone of 101 of the 105 destinations; the four in Puerto Rico and the US Virgin Islands (BQN,
PSE, SJU, STT) are not in it. The map is written down here, not joined, because the time at which a row became known
must not depend on another table's version. A test compares it with `airports.csv`.
"""

import polars as pl

AIRPORTS_OF_ZONE: dict[str, str] = {
    "America/Anchorage": "ANC",
    "America/Chicago": "AUS BHM BNA DFW DSM HOU IAH MCI MDW MEM MKE MSN MSP MSY OKC OMA ORD SAT STL TUL XNA",
    "America/Denver": "ABQ BZN DEN EGE HDN JAC MTJ SLC",
    "America/Los_Angeles": "BUR LAS LAX LGB OAK PDX PSP SAN SEA SFO SJC SMF SNA",
    "America/New_York": (
        "ACK ALB ATL AVL BDL BGR BOS BTV BUF BWI CAE CAK CHO CHS CLE CLT CMH CRW CVG DAY DCA DTW EYW FLL GRR GSO "
        "GSP IAD ILM IND JAX LEX LGA MCO MHT MIA MVY MYR ORF PBI PHL PIT PVD PWM RDU RIC ROC RSW SAV SBN SDF SRQ "
        "SYR TPA TVC TYS"
    ),
    "America/Phoenix": "PHX",
    "America/Puerto_Rico": "BQN PSE SJU",
    "America/St_Thomas": "STT",
    "Pacific/Honolulu": "HNL",
}
"""IANA zone to the IATA codes of the airports in it, separated by blanks."""

WESTERNMOST = "Pacific/Honolulu"
"""The zone of an airport we do not know: the latest UTC for a local time, so that nothing seems known too early."""

ZONE_OF_AIRPORT: dict[str, str] = {code: zone for zone, codes in AIRPORTS_OF_ZONE.items() for code in codes.split()}


def zone_of(airport: pl.Expr) -> pl.Expr:
    """The IANA zone of an IATA code; the westernmost zone for an unknown or missing code."""
    return airport.replace_strict(ZONE_OF_AIRPORT, default=WESTERNMOST, return_dtype=pl.String)
