"""What HTTP needs besides the routes: connections, middleware, negotiation, problems, a request's life."""
