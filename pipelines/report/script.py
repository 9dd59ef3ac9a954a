"""The one script of a page: searching and filtering its texts. The page's policy allows this script and no other."""

import base64
import hashlib

SCRIPT = """
'use strict';
(() => {
  const controls = document.getElementById('controls');
  if (!controls) return;
  const step = 20;
  const rows = Array.from(document.querySelectorAll('#table > article'));
  const contents = rows.map((row) => row.textContent.toLowerCase());
  const kinds = rows.map((row) => row.dataset.kinds.split(' '));
  const search = document.getElementById('search');
  const filter = document.getElementById('filter');
  const more = document.getElementById('more');
  const found = document.getElementById('found');
  let limit = step;
  const update = () => {
    const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
    const kind = filter.value;
    let matching = 0;
    rows.forEach((row, index) => {
      const match = words.every((word) => contents[index].includes(word)) &&
        (kind === 'all' || kinds[index].includes(kind));
      matching += match;
      row.hidden = !match || matching > limit;
    });
    found.textContent = matching === 0 ? 'No text matches.' :
      `${matching} of ${rows.length} texts match` + (matching > limit ? `, the first ${limit} are shown.` : '.');
    more.hidden = matching <= limit;
  };
  const restart = () => { limit = step; update(); };
  search.addEventListener('input', restart);
  filter.addEventListener('change', restart);
  controls.addEventListener('submit', (event) => event.preventDefault());
  more.addEventListener('click', () => {
    const first = rows.filter((row) => !row.hidden).length;
    limit += step;
    update();
    const next = rows.filter((row) => !row.hidden)[first];
    if (next) { next.tabIndex = -1; next.focus(); }
  });
  document.addEventListener('keydown', (event) => {
    const typing = event.target.closest('input, select, textarea');
    if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey) { event.preventDefault(); search.focus(); }
    if (event.key === 'Escape' && event.target === search) { search.value = ''; restart(); }
  });
  document.documentElement.classList.add('scripted');
  controls.hidden = false;
  update();
})();
"""
SHA256 = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
