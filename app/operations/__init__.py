"""Operations on a whole database, while servers run."""
