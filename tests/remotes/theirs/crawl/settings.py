"""Scrapy's settings for it: nothing but loopback is spoken to."""

BOT_NAME = "crawl"
SPIDER_MODULES = ["tests.remotes.theirs.crawl.spiders"]
COOKIES_ENABLED = False  # they would fetch a list of all domain suffixes
ROBOTSTXT_OBEY = False
TELNETCONSOLE_ENABLED = False
LOG_LEVEL = "INFO"
