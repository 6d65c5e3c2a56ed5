"""The doors: REST, the WebSocket and the pages. No rules of their own; ``factory.create_app`` builds them."""
