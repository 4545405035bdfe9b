"""How a paper does it: prepared inputs. Never a path, a fold or a test label."""
