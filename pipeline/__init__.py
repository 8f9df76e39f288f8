"""The stages that turn a dance video into a 3D dancer, and the records they exchange."""
