"""Live audio over a WebSocket: samples in, words out as they are said."""
