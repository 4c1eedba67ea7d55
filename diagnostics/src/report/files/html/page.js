'use strict';
(() => {
  const all = (what, where = document) => [...where.querySelectorAll(what)];
  const one = (what, where = document) => where.querySelector(what);
  const root = document.documentElement;
  all('.needs-script').forEach(part => { part.hidden = false; });

  const theme = one('#theme');
  const isDark = () => (root.dataset.theme || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
  const nameTheme = () => { theme.textContent = isDark() ? 'Light colors' : 'Dark colors'; };
  theme.addEventListener('click', () => { root.dataset.theme = isDark() ? 'light' : 'dark'; nameTheme(); });
  nameTheme();

  addEventListener('beforeprint', () => all('details:not([open])').forEach(part => { part.open = true; part.dataset.closed = ''; }));
  addEventListener('afterprint', () => all('details[data-closed]').forEach(part => { part.open = false; delete part.dataset.closed; }));

  const lanes = one('#lanes');
  const WIDTH = 100000, NARROW = 0.01;
  let rows = null, view = [0, WIDTH], isMatch = () => true;
  const tests = () => rows ||= all('#tests tbody tr').map((tr, index) => ({
    tr, index, lane: +tr.dataset.l, x: +tr.dataset.x, w: +tr.dataset.w, failed: tr.classList.contains('failed'),
    text: tr.textContent.toLowerCase(), name: tr.cells[0].textContent,
  }));

  const time = micros => micros < 1e3 ? `${micros} µs` : micros < 1e4 ? `${(micros / 1e3).toFixed(1)} ms`
    : micros < 1e6 ? `${Math.floor(micros / 1e3)} ms` : micros < 1e7 ? `${(micros / 1e6).toFixed(2)} s`
    : micros < 6e7 ? `${(micros / 1e6).toFixed(1)} s` : `${Math.floor(micros / 6e7)}m ${Math.floor(micros / 1e6) % 60}s`;
  const element = (name, attributes) => {
    const made = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const percent = x => `${((x - view[0]) * 100 / (view[1] - view[0])).toFixed(2)}%`;
  const share = length => `${(length * 100 / (view[1] - view[0])).toFixed(2)}%`;

  const drawBar = tests => {
    const failed = tests.find(test => test.failed), first = failed || tests[0], last = tests[tests.length - 1];
    const shown = tests.some(isMatch) ? '' : ' off';
    const kind = failed ? ' failed' : tests.length > 1 ? ' many' : '';
    const bar = element('a', { class: `bar${kind}${shown}`, href: `#t${first.index}`, 'data-t': first.index, 'data-n': tests.length, tabindex: -1 });
    const title = element('title', {});
    title.textContent = tests.length === 1 ? [...first.tr.cells].map(cell => cell.textContent).join(', ')
      : `${tests.length} tests${failed ? `, ${tests.filter(test => test.failed).length} of them failed: ${failed.name}` : ''}`;
    bar.append(title, element('rect', { x: percent(tests[0].x), width: share(last.x + last.w - tests[0].x), y: 5, height: 14, rx: 1 }));
    return bar;
  };
  const draw = () => {
    const narrow = (view[1] - view[0]) * NARROW;
    const byLane = new Map();
    for (const test of tests()) if (test.x + test.w >= view[0] && test.x <= view[1]) {
      if (!byLane.has(test.lane)) byLane.set(test.lane, []);
      byLane.get(test.lane).push(test);
    }
    for (const svg of all('svg[data-lane]', lanes)) {
      all('.bar', svg).forEach(bar => bar.remove());
      const bars = [];
      for (const test of (byLane.get(+svg.dataset.lane) || []).sort((a, b) => a.x - b.x)) {
        const bar = bars[bars.length - 1];
        const fits = bar && test.w < narrow && bar.to - bar.from < narrow && test.x + test.w - bar.from <= narrow;
        if (fits) { bar.tests.push(test); bar.to = Math.max(bar.to, test.x + test.w); }
        else bars.push({ tests: [test], from: test.x, to: test.x + test.w });
      }
      svg.prepend(...bars.map(bar => drawBar(bar.tests)));
      for (const circle of all('.mark circle', svg)) {
        const x = +circle.dataset.x;
        circle.setAttribute('cx', percent(x));
        circle.parentNode.style.display = x < view[0] || x > view[1] ? 'none' : '';
      }
    }
    for (const program of all('.programs svg[data-x]', lanes)) {
      program.setAttribute('x', percent(+program.dataset.x));
      program.setAttribute('width', share(+program.dataset.w));
      const hidden = Math.max(view[0] - program.dataset.x, 0) / Math.max(program.dataset.w, 1);
      one('text', program).setAttribute('x', `${(hidden * 100 + 0.5 * (view[1] - view[0]) / Math.max(program.dataset.w, 1)).toFixed(2)}%`);
    }
    drawAxis();
    rove();
  };
  const drawAxis = () => {
    const axis = one('#axis');
    const pieces = lanes.dataset.pieces.split(' ').map(piece => piece.split(',').map(Number));
    axis.replaceChildren();
    pieces.forEach(([begin, end, from, to], index) => {
      const left = Math.max(from, view[0]), right = Math.min(to, view[1]);
      if (left > right) return;
      if (index % 2) { axis.append(element('rect', { class: 'gap', x: percent(left), width: share(right - left), height: 20 })); return; }
      const moment = x => begin + (end - begin) * (x - from) / Math.max(to - from, 1);
      const least = (end - begin) * (view[1] - view[0]) / Math.max(to - from, 1) / 6;
      let step = 1;
      while (step < least) step = [2, 5, 10].map(digit => digit * 10 ** Math.floor(Math.log10(step))).find(next => next > step);
      for (let at = Math.ceil(moment(left) / step) * step; at <= moment(right); at += step) {
        const x = from + (at - begin) * (to - from) / Math.max(end - begin, 1);
        if (x > view[0] + (view[1] - view[0]) * 0.96) break;
        axis.append(element('line', { x1: percent(x), x2: percent(x), y1: 14, y2: 20 }));
        const text = element('text', { x: percent(x), y: 11 });
        text.textContent = time(at);
        axis.append(text);
      }
    });
  };
  const look = (from, to) => {
    const long = Math.min(Math.max(to - from, 2), WIDTH);
    const left = Math.min(Math.max(from, 0), WIDTH - long);
    view = [left, left + long];
    draw();
  };
  const zoom = (factor, center = (view[0] + view[1]) / 2) => {
    const long = (view[1] - view[0]) * factor;
    look(center - long / 2, center + long / 2);
  };

  // One stop for the tab key: the arrow keys go on from there.
  const items = () => all('#lanes a').filter(item => item.style.display !== 'none');
  const rove = () => items().forEach((item, index) => item.setAttribute('tabindex', index ? -1 : 0));
  const left = item => item.getBoundingClientRect().left;
  const inRow = row => [...row].sort((a, b) => left(a) - left(b));
  if (lanes) {
    rove();
    const info = one('#info');
    const tell = event => {
      const item = event.target.closest('a');
      if (item) info.textContent = one('title', item).textContent;
    };
    lanes.addEventListener('pointerover', tell);
    lanes.addEventListener('focusin', event => {
      tell(event);
      items().forEach(item => item.setAttribute('tabindex', item === event.target.closest('a') ? 0 : -1));
    });
    const enlarge = bar => {
      const merged = tests().filter(test => test.lane === +bar.parentNode.dataset.lane);
      const box = one('rect', bar), svg = bar.parentNode;
      const scale = (view[1] - view[0]) / svg.getBoundingClientRect().width;
      const from = view[0] + (box.getBoundingClientRect().left - svg.getBoundingClientRect().left) * scale;
      const long = Math.max(box.getBoundingClientRect().width * scale, 2);
      look(from - long * 0.1, from + long * 1.1);
      const first = inRow(all('.bar', svg)).find(item => left(item) >= svg.getBoundingClientRect().left);
      if (merged.length && first) first.focus();
    };
    lanes.addEventListener('click', event => {
      const item = event.target.closest('a');
      if (!item) return;
      if (+item.dataset.n > 1) { event.preventDefault(); enlarge(item); return; }
      const target = one(item.getAttribute('href'));
      const closed = target && target.closest('details');
      if (closed) closed.open = true;
    });
    lanes.addEventListener('keydown', event => {
      const item = event.target.closest('a');
      if (!item) return;
      const svg = item.parentNode, row = inRow(all('a', svg).filter(other => other.style.display !== 'none'));
      const rowsOfLanes = all('svg[data-lane]', lanes);
      let next = null;
      if (event.key === 'ArrowRight') next = row[row.indexOf(item) + 1];
      else if (event.key === 'ArrowLeft') next = row[row.indexOf(item) - 1];
      else if (event.key === 'Home') next = row[0];
      else if (event.key === 'End') next = row[row.length - 1];
      else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
        const step = event.key === 'ArrowDown' ? 1 : -1;
        for (let at = rowsOfLanes.indexOf(svg) + step; rowsOfLanes[at] && !next; at += step) {
          const near = all('a', rowsOfLanes[at]).filter(other => other.style.display !== 'none');
          next = near.sort((a, b) => Math.abs(left(a) - left(item)) - Math.abs(left(b) - left(item)))[0];
        }
      } else if (event.key === '+' || event.key === '-') {
        const test = tests()[+item.dataset.t];
        zoom(event.key === '+' ? 0.5 : 2, test ? test.x + test.w / 2 : undefined);
        const again = test && one(`#lanes a[data-t="${test.index}"]`);
        (again || items()[0]).focus();
      } else return;
      event.preventDefault();
      if (next) next.focus();
    });
    one('#zoom-in').addEventListener('click', () => zoom(0.5));
    one('#zoom-out').addEventListener('click', () => zoom(2));
    one('#earlier').addEventListener('click', () => look(view[0] - (view[1] - view[0]) / 2, view[1] - (view[1] - view[0]) / 2));
    one('#later').addEventListener('click', () => look(view[0] + (view[1] - view[0]) / 2, view[1] + (view[1] - view[0]) / 2));
    one('#all').addEventListener('click', () => look(0, WIDTH));
  }

  const search = one('#search'), kind = one('#kind'), grade = one('#grade'), onlyFailed = one('#only-failed');
  const cards = all('.card').map(card => ({ card, text: null }));
  const filter = () => {
    const text = search.value.trim().toLowerCase();
    let shown = 0;
    for (const entry of cards) {
      const { card } = entry;
      const fits = (!kind || !kind.value || card.dataset.kind === kind.value) && (!grade || !grade.value || card.dataset.grade === grade.value)
        && (!text || (entry.text ||= card.textContent.toLowerCase()).includes(text));
      card.hidden = !fits;
      shown += fits;
    }
    let tested = '';
    if (lanes) {
      isMatch = test => (!text || test.text.includes(text)) && (!onlyFailed || !onlyFailed.checked || test.failed);
      let count = 0;
      for (const test of tests()) { const fits = isMatch(test); test.tr.hidden = !fits; count += fits; }
      tested = `, ${count} of ${tests().length} tests`;
      draw();
    }
    one('#shown').textContent = `${shown} of ${cards.length} findings${tested}`;
  };
  let pending = 0;
  search.addEventListener('input', () => { clearTimeout(pending); pending = setTimeout(filter, 80); });
  [kind, grade, onlyFailed].forEach(control => control && control.addEventListener('change', filter));
})();
