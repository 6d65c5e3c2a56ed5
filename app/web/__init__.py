"""The web interfaces: REST, the WebSocket and the pages; ``factory.create_app`` builds the application."""
