"""Operations: what an operator does with a whole database, beside the server. They may import service and store."""
