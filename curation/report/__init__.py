"""Pictures: patches as images, measurements as charts, locations as maps. Each function gives bytes or text, none writes."""
