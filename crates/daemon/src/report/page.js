// Filters of the gallery. Without it all suspects are shown.
'use strict';
const cards = [...document.querySelectorAll('.card')];
const selects = [...document.querySelectorAll('.filters select')];
const shown = document.getElementById('shown');
function filter() {
  let count = 0;
  for (const card of cards) {
    const fits = selects.every(select => !select.value || card.dataset[select.name] === select.value);
    card.hidden = !fits;
    count += fits;
  }
  shown.textContent = `${count} of ${cards.length} shown`;
}
for (const select of selects) {
  // A value that no card has is no choice; a single one is none either.
  const values = new Map();
  for (const card of cards) {
    const value = card.dataset[select.name];
    if (value) values.set(value, (values.get(value) || 0) + 1);
  }
  for (const [value, count] of [...values].sort((a, b) => b[1] - a[1])) {
    const option = document.createElement('option');
    option.value = value;
    option.textContent = `${value} (${count})`;
    select.append(option);
  }
  select.closest('label').hidden = values.size < 2;
  select.addEventListener('change', filter);
}
document.querySelector('.filters')?.removeAttribute('hidden');
if (cards.length) filter();
