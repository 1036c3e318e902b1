"""The whole product, seen from outside. A package, so that its shared instance ends with its last test."""
