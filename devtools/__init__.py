"""What users and developers of a checkout run. The product must not import it. Start reading at `simulator/`.

- `simulator/` plays WeChat and the other platforms on loopback.
"""
