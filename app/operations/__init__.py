"""Operations on a whole database, beside the server: one package each, imported by its own face."""
