"""Demo data: simulated participants who fill the database."""
