"""The report: from records to results.json, Markdown, figures and one HTML page."""
