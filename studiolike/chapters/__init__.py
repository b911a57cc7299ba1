"""What only the book's chapters use: figures (`figures`), sliders that compute (`live`), numbers for the prose and tables
(`notebook`). No stage imports this room."""
