"""Operations on a whole database, safe while servers run: one package each."""
