// Draws runs that train, as the reader wants them, and asks for what is new.
(() => {
  const { data, add, draw, stroke, theme } = globalThis.isonorm;
  const byId = id => document.getElementById(id);
  const says = document.querySelector('header p');
  const what = says.textContent;
  const hues = 7;
  // Lines of as many runs as there are colours are solid, those of the next dotted, and so on; one kind of dashes is that of validation alone.
  const validation = 1;
  const styles = [0, 2, 3, 4, 5];
  const style = tint => styles[Math.floor(tint / hues) % styles.length];
  const most = { faint: 12, points: 900 };
  const runs = data.runs;
  const columns = ['step', 'loss', 'validation', 'accuracy', 'gradient', 'rate', 'throughput', 'tokens', 'seconds'];
  let cursor = data.cursor;

  // What the reader chose is in the address, so that it can be kept and shared, and outlives loading the page again.
  const usual = { group: 'run', over: 'step', scale: 'auto', smooth: '0', search: '', sort: '', off: '', run: '', plots: '' };
  const chosen = { ...usual, ...Object.fromEntries([...new URLSearchParams(location.hash.slice(1))].filter(([name]) => Object.hasOwn(usual, name))) };
  chosen.smooth = String(Math.min(0.99, Math.max(0, Number(chosen.smooth) || 0)));
  // Names may have what stands between them.
  const decoded = name => {
    try {
      return decodeURIComponent(name);
    } catch (e) {
      return name;
    }
  };
  const off = new Set(chosen.off ? chosen.off.split('|').map(decoded) : []);
  function keep() {
    chosen.off = [...off].map(encodeURIComponent).join('|');
    chosen.plots = sections.map(each => each.chart && each.chart.select ? each.chart.select.selectedIndex : 0).join('.');
    const words = new URLSearchParams(Object.entries(chosen).filter(([name, value]) => value !== usual[name])).toString();
    history.replaceState(null, '', words ? '#' + words : location.pathname);
  }

  // Runs

  const time = seconds => {
    const minutes = Math.round(seconds / 60);
    return seconds < 100 ? Math.round(seconds) + ' s' : minutes < 100 ? minutes + ' min' : Math.floor(minutes / 60) + ' h ' + minutes % 60 + ' min';
  };
  const fixed = (value, digits) => value === null || value === undefined ? '' : value.toFixed(digits);
  const last = column => {
    for (let i = column.length - 1; i >= 0; i--) if (column[i] !== null) return column[i];
    return null;
  };
  // Of runs that differ in nothing but what is drawn by chance there is one group.
  const drawn = ['seed', 'out', 'threads'];
  const told = run => run.configuration;
  const differing = [...new Set(runs.flatMap(run => Object.keys(told(run))))].filter(key => !drawn.includes(key) && new Set(runs.map(run => told(run)[key])).size > 1);
  const words = (run, keys) => keys.map(key => key === 'strategy' || key === 'model.preset' ? told(run)[key] : key.split('.').pop() + ' ' + (told(run)[key] || 'none')).join(', ');
  function groupOf(run) {
    const strategy = told(run).strategy || run.name;
    if (chosen.group === 'strategy') return strategy;
    return differing.length ? words(run, differing) : strategy;
  }

  runs.forEach((run, i) => {
    run.colour = i;
    run.text = (run.name + ' ' + Object.entries(told(run)).map(([key, value]) => key + '=' + value).join(' ')).toLowerCase();
    prepare(run);
  });
  function prepare(run) {
    let tokens = 0;
    let seconds = 0;
    run.at = { step: run.step, tokens: run.tokens.map(each => tokens += each || 0), time: run.seconds.map(each => (seconds += each || 0) / 60) };
  }
  const found = run => !chosen.search || chosen.search.toLowerCase().split(/\s+/).every(word => run.text.includes(word));
  const visible = () => runs.filter(run => found(run) && !off.has(run.name));

  // The table

  const heads = [
    ['', 'Shown'], ['run', ''], ['state', ''], ['strategy', ''], ['step', ''], ['loss', 'The mean over the last window of steps'], ['validation', 'The last validation loss, in nats a token'],
    ['gradient norm', 'The largest of the last window of steps, before clipping'], ['learning rate', ''], ['tokens/s', 'The mean over the last window of steps'],
    ['time left', 'The steps that are left times the seconds a step took in the last windows'], ['spikes', 'Losses and gradient norms far above the windows of steps before'],
  ];
  if (!heads[Math.abs(Number(chosen.sort))] || Number(chosen.sort) === 0) chosen.sort = '';
  const value = [
    run => off.has(run.name) ? 1 : 0, run => run.name, run => run.state, run => told(run).strategy || '', run => last(run.step), run => last(run.loss), run => last(run.validation),
    run => last(run.gradient), run => last(run.rate), run => last(run.throughput), run => run.left, run => run.spikes,
  ];
  const cells = run => [
    null, run.name, run.state, told(run).strategy || '', run.step.length ? last(run.step) + (run.steps ? ' of ' + run.steps : '') : '', fixed(last(run.loss), 4),
    fixed(last(run.validation), 4), fixed(last(run.gradient), 3), last(run.rate) === null ? '' : last(run.rate).toExponential(2),
    last(run.throughput) === null ? '' : Math.round(last(run.throughput)).toLocaleString('en'), run.left === undefined ? '' : time(run.left), String(run.spikes),
  ];
  const table = byId('runs');
  const head = table.tHead.rows[0];
  heads.forEach(([name, title], column) => {
    const cell = document.createElement('th');
    cell.textContent = name;
    cell.title = title;
    if (column === 0) {
      const all = Object.assign(document.createElement('input'), { type: 'checkbox', checked: true });
      all.setAttribute('aria-label', 'Show all runs that are found');
      all.addEventListener('change', () => {
        runs.filter(found).forEach(run => all.checked ? off.delete(run.name) : off.add(run.name));
        changed();
      });
      cell.append(all);
    } else {
      cell.addEventListener('click', () => {
        chosen.sort = chosen.sort === String(column) ? '-' + column : String(column);
        keep();
        fill();
      });
    }
    head.append(cell);
  });
  runs.forEach(run => {
    const row = document.createElement('tr');
    heads.forEach((_, column) => row.append(document.createElement('td')));
    const box = Object.assign(document.createElement('input'), { type: 'checkbox' });
    box.setAttribute('aria-label', 'Show ' + run.name);
    box.addEventListener('change', () => {
      if (box.checked) off.delete(run.name);
      else off.add(run.name);
      changed();
    });
    const swatch = document.createElement('span');
    swatch.className = 'swatch';
    row.cells[0].append(box, swatch);
    const name = Object.assign(document.createElement('button'), { type: 'button', className: 'name', textContent: run.name, title: 'What it was told' });
    name.addEventListener('click', () => {
      chosen.run = chosen.run === run.name ? '' : run.name;
      keep();
      configuration();
    });
    row.cells[1].append(name);
    Object.assign(run, { row, box, swatch });
  });

  function fill() {
    const column = Math.abs(Number(chosen.sort));
    const order = chosen.sort ? [...runs].sort((a, b) => {
      const [x, y] = [value[column](a), value[column](b)];
      if (x === y) return 0;
      if (x === null || x === undefined) return 1;
      if (y === null || y === undefined) return -1;
      const up = typeof x === 'number' ? x - y : String(x).localeCompare(String(y), 'en', { numeric: true });
      return chosen.sort.startsWith('-') ? -up : up;
    }) : runs;
    [...head.cells].forEach((cell, c) => c && c === column ? cell.setAttribute('aria-sort', chosen.sort.startsWith('-') ? 'descending' : 'ascending') : cell.removeAttribute('aria-sort'));
    order.forEach(run => {
      run.row.hidden = !found(run);
      run.box.checked = !off.has(run.name);
      run.swatch.innerHTML = stroke({ colour: run.tint, style: style(run.tint) });
      const texts = cells(run);
      for (let c = 2; c < texts.length; c++) if (run.row.cells[c].textContent !== texts[c]) run.row.cells[c].textContent = texts[c];
    });
    table.tBodies[0].append(...order.map(run => run.row));
    head.cells[0].firstChild.checked = runs.filter(found).every(run => !off.has(run.name));
    byId('shown').textContent = visible().length === runs.length ? '(' + runs.length + ')' : '(' + visible().length + ' of ' + runs.length + ' shown)';
  }

  function configuration() {
    const panel = byId('configuration');
    const run = runs.find(each => each.name === chosen.run);
    panel.hidden = !run;
    if (!run) return;
    panel.querySelector('h2').textContent = run.name + ': ' + run.folder;
    panel.querySelector('dl').replaceChildren(...Object.entries(told(run)).filter(([, value]) => value !== '').map(([key, value]) => {
      const fact = document.createElement('div');
      fact.className = differing.includes(key) ? 'differs' : '';
      fact.append(Object.assign(document.createElement('dt'), { textContent: key }), Object.assign(document.createElement('dd'), { textContent: value }));
      return fact;
    }));
  }
  byId('configuration').querySelector('button').addEventListener('click', () => {
    chosen.run = '';
    keep();
    configuration();
  });

  // Curves

  // An exponential moving average, corrected for its start.
  function smooth(points, weight) {
    if (!weight) return points;
    let mean = 0;
    let known = 0;
    return points.map(([x, y]) => {
      mean = weight * mean + (1 - weight) * y;
      known = weight * known + (1 - weight);
      return [x, mean / known];
    });
  }
  // No more points than are seen: means of neighbours.
  function thin(points) {
    const each = Math.ceil(points.length / most.points);
    if (each < 2) return points;
    const thinned = [];
    for (let from = 0; from < points.length; from += each) {
      const some = points.slice(from, from + each);
      thinned.push([some[some.length - 1][0], some.reduce((sum, point) => sum + point[1], 0) / some.length]);
    }
    return thinned;
  }
  function pointsOf(run, column) {
    const xs = run.at[chosen.over];
    const points = [];
    run[column].forEach((y, i) => y !== null && points.push([xs[i], y]));
    return points;
  }
  function between(points, x) {
    if (!points.length || x < points[0][0] || x > points[points.length - 1][0]) return null;
    let low = 0;
    let high = points.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < x) low = middle + 1;
      else high = middle;
    }
    if (points[low][0] === x || low === 0) return points[low][1];
    const [x0, y0] = points[low - 1];
    return y0 + (points[low][1] - y0) * (x - x0) / (points[low][0] - x0);
  }
  // The mean of runs where all of them have been, and their standard deviation around it.
  function mean(all) {
    const curves = all.filter(points => points.length);
    if (!curves.length) return { points: [], around: [] };
    const base = curves.reduce((a, b) => b.length > a.length ? b : a);
    const points = [];
    const around = [];
    base.forEach(([x]) => {
      const values = curves.map(curve => between(curve, x));
      if (values.includes(null)) return;
      const middle = values.reduce((a, b) => a + b, 0) / values.length;
      points.push([x, middle]);
      if (values.length > 1) {
        const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
        around.push([x, middle - deviation, middle + deviation]);
      }
    });
    return { points, around };
  }
  const grouped = () => {
    const groups = new Map();
    visible().forEach(run => {
      const name = groupOf(run);
      groups.set(name, [...groups.get(name) || [], run]);
    });
    return groups;
  };
  function colours() {
    const names = [...new Set(runs.map(groupOf))];
    runs.forEach(run => {
      run.tint = chosen.group === 'run' ? run.colour : names.indexOf(groupOf(run));
    });
  }

  function curves(column, { dashed = '', weight = Number(chosen.smooth) } = {}) {
    if (chosen.group !== 'run') {
      return [...grouped()].map(([name, some]) => {
        const { points, around } = mean(some.map(run => thin(smooth(pointsOf(run, column), weight))));
        return { name: name + dashed, colour: some[0].tint, style: dashed ? validation : style(some[0].tint), points, pointsShown: points.length < 2, spread: 'band', around };
      });
    }
    const shown = visible();
    return shown.flatMap(run => {
      const all = pointsOf(run, column);
      const points = thin(smooth(all, weight));
      const curve = { name: run.name + dashed, colour: run.tint, style: dashed ? validation : style(run.tint), points, pointsShown: points.length < 2 };
      return weight && shown.length <= most.faint ? [{ ...curve, points: thin(all), faint: true }, curve] : [curve];
    });
  }

  function marks(kind, column) {
    if (chosen.group !== 'run') return [];
    return visible().flatMap(run => {
      const points = run.step.map((step, i) => [step, run[column][i]]).filter(point => point[1] !== null);
      return run.events.filter(event => event[kind] || event.diverged).flatMap(event => {
        const i = run.step.findIndex(step => step >= event.step);
        const before = points.filter(point => point[0] <= run.step[i]).pop() || points[0];
        return i < 0 || !before ? [] : [{ x: run.at[chosen.over][i], y: before[1], end: event.diverged, text: run.name + (event.diverged ? ' diverged' : ' spiked') + ' at step ' + event.step }];
      });
    });
  }

  const axis = { step: 'step', tokens: 'tokens', time: 'minutes' };
  function logarithmic(all, wide) {
    let least = Infinity;
    let largest = 0;
    all.forEach(curve => curve.points.forEach(([, y]) => {
      if (y < least) least = y;
      if (y > largest) largest = y;
    }));
    return chosen.scale === 'log' ? least > 0 && least < Infinity : chosen.scale === 'auto' && least > 0 && largest > wide * least;
  }
  function over(y, all, near, some = []) {
    return { kind: 'lines', legend: chosen.group !== 'run', x: axis[chosen.over], y, near, logarithmic: logarithmic(all, 20), panels: [{ name: '', curves: all, marks: some }] };
  }
  const ofBlocks = (y, column) => () => {
    const shown = visible().filter(run => run.moments.length);
    const one = shown.length === 1;
    const all = shown.flatMap(run => {
      const count = one ? Math.min(5, run.moments.length) : 1;
      return Array.from({ length: count }, (_, i) => {
        const moment = run.moments[count === 1 ? run.moments.length - 1 : Math.floor(i * (run.moments.length - 1) / (count - 1))];
        return { name: one ? 'step ' + moment.step : run.name, colour: one ? i : run.tint, style: one ? 0 : style(run.tint),
          points: moment[column].map((y, block) => [block, y]).filter(point => point[1] !== null), pointsShown: true };
      });
    });
    return { kind: 'lines', legend: one, x: 'block', y, near: false, logarithmic: logarithmic(all, 20), panels: [{ name: '', curves: all }] };
  };
  const overTime = run => () => ({ kind: 'heat', x: 'step', y: 'block', value: 'log10 of the variance', columns: run.moments.map(moment => String(moment.step)),
    cells: run.moments.flatMap((moment, m) => moment.variance.map((v, block) => [m, block, v > 0 ? Math.log10(v) : null]).filter(cell => cell[2] !== null)) });

  const measured = column => runs.some(run => run[column].some(each => each !== null));
  const wanted = [
    ['Loss', [
      ['Loss', 'The training loss, of each window of steps; dashed, the validation loss. A diamond is a spike, a cross the end of a run that diverged; means over runs have a band of one standard deviation to either side.', () => {
        const all = curves('loss');
        return over('loss', [...all, ...curves('validation', { dashed: ', validation', weight: 0 }).filter(curve => curve.points.length)], true, marks('loss', 'loss'));
      }],
      ['Validation loss', 'Of data that is never learned from.', () => over('validation loss', curves('validation', { weight: 0 }), true)],
      ...measured('accuracy') ? [['Validation accuracy', 'The part of the images that are given their class.', () => over('accuracy', curves('accuracy', { weight: 0 }), true)]] : [],
    ]],
    ['Gradient norm', [['Gradient norm', 'The largest of each window of steps, before clipping. A diamond is a spike.', () => over('gradient norm', curves('gradient'), false, marks('gradient', 'gradient'))]]],
    ['Throughput', [
      ['Throughput', 'In tokens a second, the mean over each window of steps.', () => over('tokens/s', curves('throughput'), false)],
      ['Learning rate', 'What the schedule gives.', () => over('learning rate', curves('rate', { weight: 0 }), false)],
    ]],
    ...runs.some(run => run.moments.length) ? [
      ['By depth', [
        ['Variance by depth', 'Of the residual stream before each block, at the last moment it was measured. Pre-LN\u2019s can grow exponentially with depth, Peri-LN\u2019s grows about linearly, Post-LN\u2019s stays.',
          ofBlocks('variance', 'variance')],
        ['Largest value by depth', 'Of the residual stream before each block; massive activations are born where it jumps.', ofBlocks('largest value', 'largest')],
        ['Gradient norm by depth', 'Of each block.', ofBlocks('gradient norm', 'gradient')],
      ]],
      ['Variance over time', runs.filter(run => run.moments.length).map(run => ['Variance over time' + (runs.length === 1 ? '' : ', ' + run.name),
        'Of the residual stream before each block, by its order of magnitude: 0 is a variance of 1, 2 one of 100.', overTime(run)])],
    ] : [],
  ];

  // A chart's plots are made when they are looked at.
  const picked = chosen.plots.split('.').map(Number);
  const sections = wanted.map(([name, plots], g) => {
    const section = document.createElement('section');
    section.className = 'plots';
    const choices = Object.assign(document.createElement('div'), { className: 'choices' });
    choices.append(Object.assign(document.createElement('h2'), { textContent: plots.length === 1 ? plots[0][0] : name }));
    if (plots.length > 1) {
      const select = document.createElement('select');
      select.setAttribute('aria-label', name);
      select.append(...plots.map(([title]) => Object.assign(document.createElement('option'), { textContent: title })));
      select.selectedIndex = plots[picked[g]] ? picked[g] : 0;
      choices.append(select);
    }
    section.append(choices, ...plots.map(([, note], p) => Object.assign(document.createElement('p'), { className: 'note', textContent: note, hidden: p > 0 })),
      Object.assign(document.createElement('ul'), { className: 'legend' }), Object.assign(document.createElement('div'), { className: 'plot' }));
    byId('groups').append(section);
    const lazily = plots.map(() => null);
    plots.forEach(([title, , make], p) => Object.defineProperty(lazily, p, { get: () => ({ title, ...make() }) }));
    return { section, lazily, chart: null };
  });
  sections.forEach(each => {
    each.chart = add(each.section, each.lazily);
    if (each.chart.select) each.chart.select.addEventListener('change', keep);
  });

  function changed() {
    keep();
    colours();
    fill();
    draw();
  }
  for (const id of ['group', 'over', 'scale']) {
    byId(id).value = chosen[id];
    if (!byId(id).value) byId(id).value = chosen[id] = usual[id];
    byId(id).addEventListener('change', () => {
      chosen[id] = byId(id).value;
      changed();
    });
  }
  byId('search').value = chosen.search;
  let waiting;
  byId('search').addEventListener('input', () => {
    chosen.search = byId('search').value.trim();
    clearTimeout(waiting);
    waiting = setTimeout(changed, 150);
  });
  byId('options').addEventListener('submit', event => event.preventDefault());
  byId('smooth').value = chosen.smooth;
  byId('smoothed').textContent = chosen.smooth;
  byId('smooth').addEventListener('input', () => {
    chosen.smooth = String(Number(byId('smooth').value));
    byId('smoothed').textContent = chosen.smooth;
    clearTimeout(waiting);
    waiting = setTimeout(changed, 60);
  });
  addEventListener('hashchange', () => location.reload());

  const kept = JSON.parse(sessionStorage.getItem('kept') || 'null');
  sessionStorage.removeItem('kept');
  colours();
  fill();
  configuration();
  if (kept) {
    theme(kept.theme);
    scrollTo(0, kept.scroll);
  } else {
    requestAnimationFrame(() => draw()); // the table is seen first
  }

  async function ask() {
    try {
      const answer = await fetch('data?since=' + cursor);
      if (!answer.ok) throw new Error(answer.statusText);
      const news = await answer.json();
      if (news.anew) {
        sessionStorage.setItem('kept', JSON.stringify({ theme: document.documentElement.dataset.theme, scroll: scrollY }));
        location.reload();
        return;
      }
      cursor = news.cursor;
      let more = false;
      news.runs.forEach((each, i) => {
        const run = runs[i];
        Object.assign(run, { state: each.state, spikes: each.spikes, left: each.left });
        if (!each.step.length && !each.moments.length) return;
        more = true;
        columns.forEach(name => run[name].push(...each[name]));
        run.moments.push(...each.moments);
        run.events.push(...each.events);
        prepare(run);
      });
      fill();
      if (more) draw(false);
      says.textContent = what;
    } catch (e) {
      says.textContent = what + ' \u2013 isonorm watch does not answer; this is what it last said';
    }
    setTimeout(ask, 2000);
  }

  setTimeout(ask, 1000);
})();
