"""Who may do what: participants' resume tokens, integrators' API keys, sign-ins to the dashboard.

Doors ask ``web/auth.py`` who somebody is; what he may do is said in ``principals.py`` alone. Secrets leave this
package only at the moment when they are made; the database holds hashes.
"""
