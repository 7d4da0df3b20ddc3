"""The recorder for pages with a websocket, which is that of all others: whoever watches a job is told."""

from ..backend import ProgressRecorder

WebSocketProgressRecorder = ProgressRecorder
