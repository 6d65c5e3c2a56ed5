"""The OpenAPI document of the REST interface."""
