"""Teaching the depth networks on dressed synthetic people made on the fly."""
