"""The images of Prelabel."""
