"""The paper's tables and figures, from the reports of finished runs."""
