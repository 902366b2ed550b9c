"""The five benches of the notifier, and the crowd of clients that they share."""
