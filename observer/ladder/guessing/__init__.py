"""Is a row solved more often than a guess is right? No row goes by luck."""
