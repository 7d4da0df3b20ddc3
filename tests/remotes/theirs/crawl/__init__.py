"""A Scrapy project with one spider."""
