// Small things that must outlive a reload. A browser that stores nothing (private mode, full disk) still works.

export function remember(key, value) {
  try {
    if (value === null) localStorage.removeItem(`xab-${key}`);
    else localStorage.setItem(`xab-${key}`, JSON.stringify(value));
  } catch {
    // Nothing to do about it: the server's copy is the one that counts.
  }
}

export function remembered(key) {
  try {
    return JSON.parse(localStorage.getItem(`xab-${key}`));
  } catch {
    return null;
  }
}
