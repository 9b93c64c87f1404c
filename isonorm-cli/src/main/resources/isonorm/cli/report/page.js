'use strict';
// Draws the plots of a page: lines, bars and heat maps, in the colours of the theme, as wide as there is room.
(() => {
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const data = JSON.parse(document.getElementById('plots').textContent);
  const ramp = ['#440154', '#3b528b', '#21918c', '#5ec962', '#fde725'];
  const styles = ['solid', [6, 4], [2, 3], [9, 3, 2, 3], [13, 4], [1, 5]];
  const cross = 'path://M2 0 L5 3 L8 0 L10 2 L7 5 L10 8 L8 10 L5 7 L2 10 L0 8 L3 5 L0 2 Z';
  const small = { width: 220, height: 150, between: 46 };
  const charts = [];
  const hues = 7;

  const colour = name => getComputedStyle(root).getPropertyValue('--' + name).trim();
  let palette;
  let idling = false;
  const tint = number => palette['c' + number % hues];
  const number = value => {
    const size = Math.abs(value);
    if (value === 0 || Number.isInteger(value) && size < 1e6) return String(value);
    return size >= 1e5 || size < 1e-3 ? value.toExponential(2).replace(/\.?0+e/, 'e') : String(Number(value.toPrecision(4)));
  };
  const escape = text => String(text).replace(/[&<>]/g, c => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c]);
  const axis = (name, formatter, label = {}) => ({
    name, nameLocation: 'middle', nameTextStyle: { color: palette.soft }, axisLabel: { color: palette.soft, formatter, hideOverlap: true, ...label },
    axisLine: { lineStyle: { color: palette.line } }, axisTick: { show: false }, splitLine: { lineStyle: { color: palette.line } },
  });
  const box = () => ({ confine: true, backgroundColor: palette.card, borderColor: palette.line, textStyle: { color: palette.text, fontSize: 13 } });

  // The least round number that is no smaller: where an axis ends.
  function round(value) {
    const step = 10 ** Math.floor(Math.log10(value)) / 4;
    return Math.ceil(value / step - 1e-9) * step;
  }

  function extent(plot) {
    let least = Infinity;
    let most = -Infinity;
    const see = y => {
      if (y < least) least = y;
      if (y > most) most = y;
    };
    plot.panels.forEach(panel => panel.curves.forEach(curve => {
      curve.points.forEach(point => see(point[1]));
      (curve.around || []).forEach(([, low, high]) => {
        if (!plot.logarithmic || low > 0) see(low);
        see(high);
      });
    }));
    return { least, most: plot.limit === undefined ? most : plot.limit };
  }

  function whisker(colour) {
    return (params, api) => {
      const [x, low] = api.coord([api.value(0), api.value(1)]);
      const high = api.coord([api.value(0), api.value(2)])[1];
      const line = (x1, y1, x2, y2) => ({ type: 'line', shape: { x1, y1, x2, y2 }, style: { stroke: colour, lineWidth: 1.4 } });
      return { type: 'group', children: [line(x, low, x, high), line(x - 4, low, x + 4, low), line(x - 4, high, x + 4, high)] };
    };
  }

  // How far values spread around a curve: an area, or bars at its points.
  function spread(curve, grid, logarithmic) {
    const around = curve.around.filter(each => !logarithmic || each[1] > 0);
    const fill = tint(curve.colour);
    const base = { type: 'custom', name: curve.name, silent: true, clip: true, xAxisIndex: grid, yAxisIndex: grid, tooltip: { show: false }, z: 1 };
    if (curve.spread === 'band') {
      return { ...base, data: around.length ? [around[0]] : [], renderItem: (params, api) => ({ type: 'polygon',
        shape: { points: around.map(each => api.coord([each[0], each[2]])).concat(around.slice().reverse().map(each => api.coord([each[0], each[1]]))) },
        style: { fill, opacity: 0.18 } }) };
    }
    return { ...base, data: around, renderItem: whisker(fill) };
  }

  function lines(plot, width) {
    const { least, most } = extent(plot);
    const single = plot.panels.length === 1;
    const across = single ? 1 : Math.max(1, Math.min(plot.panels.length, Math.floor((width - 62) / small.width)));
    const wide = (width - 62 - 18 - (across - 1) * 14) / across;
    const place = p => single ? { left: 62, right: 18, top: 14, bottom: 46 }
      : { left: 62 + p % across * (wide + 14), width: wide, top: 22 + Math.floor(p / across) * (small.height + small.between), height: small.height };
    const count = plot.panels.reduce((sum, panel) => sum + panel.curves.reduce((all, curve) => all + curve.points.length, 0), 0);
    const up = plot.logarithmic ? { type: 'log', min: 10 ** Math.floor(Math.log10(least)), max: plot.limit === undefined ? 10 ** Math.ceil(Math.log10(most)) : plot.limit }
      : { type: 'value', scale: plot.near, min: plot.near || least < 0 ? null : 0, max: plot.limit === undefined ? null : round(plot.limit) };
    // A spread is no line of the library, so that it is not seen where an axis is made.
    if (!plot.logarithmic && Number.isFinite(least)) {
      const step = most > least ? 10 ** Math.floor(Math.log10((most - least) / 2)) : 1;
      const grid = step * ((most - least) / step > 10 ? 5 : (most - least) / step > 5 ? 2 : 1);
      if (plot.near) Object.assign(up, { min: Math.floor(least / grid + 1e-9) * grid, max: Math.ceil(most / grid - 1e-9) * grid });
      else if (plot.limit === undefined && plot.panels.some(panel => panel.curves.some(curve => curve.around)) && most > 0) up.max = round(most);
      if (up.max === up.min) delete up.max;
    }
    const xs = plot.panels.flatMap(panel => panel.curves.flatMap(curve => curve.points.length ? [curve.points[0][0], curve.points[curve.points.length - 1][0]] : []));
    const ends = Math.max(...xs) - Math.min(...xs) > 40 && !plot.logarithmicX ? { showMinLabel: false, showMaxLabel: false } : {}; // which may be no round numbers
    const series = [];
    plot.panels.forEach((panel, p) => {
      panel.curves.forEach(curve => {
        if (curve.spread) series.push(spread(curve, p, plot.logarithmic));
        series.push({ type: 'line', name: curve.name, data: curve.points, symbolSize: single ? 7 : 5, showSymbol: curve.pointsShown, symbol: 'circle', sampling: 'lttb',
          xAxisIndex: p, yAxisIndex: p, clip: true, animation: false, itemStyle: { color: tint(curve.colour), opacity: curve.faint ? 0.25 : 1 }, silent: Boolean(curve.faint),
          lineStyle: { width: curve.faint ? 1 : 2, color: tint(curve.colour), type: styles[curve.style % styles.length], opacity: curve.faint ? 0.25 : 1 } });
        const beyond = plot.limit === undefined ? [] : curve.points.filter(point => point[1] > plot.limit);
        if (beyond.length) {
          series.push({ type: 'scatter', name: curve.name, z: 5, xAxisIndex: p, yAxisIndex: p, tooltip: { show: false }, silent: true, symbol: 'triangle', symbolSize: 9,
            data: beyond.map(point => ({ value: [point[0], up.max], label: { show: true, formatter: number(point[1]), position: 'right', color: palette.text } })),
            itemStyle: { color: tint(curve.colour) } });
        }
      });
      series.push({ type: 'scatter', name: 'marks', z: 5, xAxisIndex: p, yAxisIndex: p, tooltip: { show: false }, data: (panel.marks || []).map(mark => ({ value: [mark.x, mark.y],
        symbol: mark.end ? cross : 'diamond', symbolSize: mark.end ? 13 : 10, label: { show: false, formatter: () => mark.text, position: 'top', color: palette.text },
        emphasis: { label: { show: true } }, itemStyle: { color: palette.mark, borderColor: palette.card, borderWidth: 1 } })) });
    });
    const rows = Math.ceil(plot.panels.length / across);
    return { height: single ? null : 22 + rows * (small.height + small.between), option: {
      animation: false,
      title: single ? [] : plot.panels.map((panel, p) => ({ text: panel.name, left: place(p).left, top: place(p).top - 22, padding: 0,
        textStyle: { color: palette.text, fontSize: 12.5, fontWeight: 600 } })),
      grid: plot.panels.map((panel, p) => place(p)),
      legend: { show: false, data: names(plot).map(each => each.name) },
      tooltip: { ...box(), trigger: 'axis', order: 'valueDesc',
        formatter: points => {
          const shown = points.filter(point => point.seriesType === 'line' && !point.silent);
          return !shown.length ? '' : escape(plot.x) + ' ' + number(shown[0].value[0]) + shown.slice(0, 16).map(point => '<br>' + point.marker + escape(point.seriesName)
            + ' &nbsp;<b>' + number(point.value[1]) + '</b>').join('') + (shown.length > 16 ? '<br>and ' + (shown.length - 16) + ' more' : '');
        } },
      xAxis: plot.panels.map((panel, p) => ({ ...axis(single || p >= plot.panels.length - across ? plot.x : '', number, ends), gridIndex: p,
        type: plot.logarithmicX ? 'log' : 'value', nameGap: 28, min: 'dataMin', max: 'dataMax', ...(plot.logarithmicX ? {} : { minInterval: 1 }), splitLine: { show: false } })),
      yAxis: plot.panels.map((panel, p) => ({ ...axis(p % across === 0 ? plot.y : '', number), gridIndex: p, nameGap: 46, ...up,
        ...(p % across === 0 ? {} : { axisLabel: { show: false } }) })),
      dataZoom: count > 400 ? [{ type: 'inside', xAxisIndex: plot.panels.map((panel, p) => p) }] : [],
      series,
    } };
  }

  function bars(plot, width) {
    const letters = Math.max(...plot.series.flatMap(series => series.labels.map(label => label.length)));
    const turned = (width - 80) / plot.categories.length / plot.series.length < letters * 6.6;
    const top = plot.limit === undefined ? null : round(plot.limit);
    return { option: {
      animation: false,
      grid: { left: 62, right: 18, top: turned ? 60 : 30, bottom: 46 },
      legend: { show: false, data: plot.series.map(series => series.name) },
      tooltip: { ...box(), trigger: 'item', formatter: point => escape(point.seriesName) + '<br>' + escape(plot.x) + ' ' + escape(point.name) + ' &nbsp;<b>'
        + escape(plot.series[point.seriesIndex].labels[point.dataIndex]) + '</b>' },
      xAxis: { ...axis(plot.x), type: 'category', data: plot.categories, nameGap: 28, splitLine: { show: false } },
      yAxis: { ...axis(plot.y, number), type: 'value', nameGap: 46, max: top },
      series: plot.series.map(series => ({ type: 'bar', name: series.name, barGap: '6%', barMaxWidth: 54, itemStyle: { color: tint(series.colour) },
        data: series.values.map((value, i) => value === null ? null : { value: top !== null && value > top ? top : value, label: { show: true, distance: 4,
          formatter: (plot.limit !== undefined && value > plot.limit ? '\u25b2 ' : '') + series.labels[i], position: value < 0 ? 'bottom' : 'top', color: palette.text,
          fontSize: 11, ...(series.around ? { offset: [24, 0] } : {}), ...(turned ? { rotate: 60, align: value < 0 ? 'right' : 'left', verticalAlign: 'middle' } : {}) } }) })).concat(plot.series.filter(series => series.around).map(series => ({ type: 'custom', name: series.name, silent: true, z: 5,
        data: series.around, encode: { x: 0, y: [1, 2] }, tooltip: { show: false }, renderItem: whisker(palette.text) }))),
    } };
  }

  function heat(plot) {
    const rows = plot.cells.map(cell => cell[1]); // every whole number, since one without a cell has a place too
    const first = rows.reduce((a, b) => Math.min(a, b), Infinity);
    const last = rows.reduce((a, b) => Math.max(a, b), first);
    const xs = plot.columns;
    const ys = rows.length ? Array.from({ length: last - first + 1 }, (_, i) => String(first + i)) : [];
    const values = plot.cells.map(cell => cell[2]);
    const least = values.reduce((a, b) => Math.min(a, b), 0);
    const largest = values.reduce((a, b) => Math.max(a, b), least);
    const most = plot.limit === undefined ? largest > least ? largest : least + 1 : plot.limit;
    return { option: {
      animation: false,
      title: [{ text: plot.value, left: 'center', bottom: 34, padding: 0, textStyle: { color: palette.soft, fontSize: 12, fontWeight: 400 } }],
      grid: { left: 52, right: 18, top: 12, bottom: 112 },
      legend: { show: false },
      tooltip: { ...box(), trigger: 'item',
        formatter: point => escape(plot.x) + ' ' + escape(xs[point.value[0]]) + ', ' + escape(plot.y) + ' ' + ys[point.value[1]] + '<br>' + escape(plot.value) + ' <b>' +
          number(point.value[2]) + '</b>' },
      xAxis: { ...axis(plot.x), type: 'category', data: xs, nameGap: 26, splitLine: { show: false } },
      yAxis: { ...axis(plot.y), type: 'category', data: ys, nameGap: 34, splitLine: { show: false } },
      visualMap: { min: least, max: most, calculable: false, orient: 'horizontal', left: 'center', bottom: 4, itemWidth: 14, itemHeight: 180,
        text: [(plot.limit === undefined ? '' : '\u2265 ') + number(most), number(least)], inRange: { color: ramp }, textStyle: { color: palette.soft }, formatter: number },
      series: [{ type: 'heatmap', data: plot.cells.map(cell => [cell[0], cell[1] - first, cell[2]]),
        itemStyle: { borderColor: palette.card, borderWidth: xs.length > 40 ? 0 : 1 }, emphasis: { itemStyle: { borderColor: palette.text } } }],
    } };
  }

  // What has a name in a plot, each once.
  function names(plot) {
    const seen = new Map();
    if (plot.kind === 'lines') {
      plot.panels.forEach(panel => panel.curves.forEach(curve => {
        if (!curve.faint && !seen.has(curve.name)) seen.set(curve.name, curve);
      }));
    } else if (plot.kind === 'bars') {
      plot.series.forEach(series => seen.set(series.name, series));
    }
    return [...seen.values()];
  }

  const drawing = inside => '<svg width="26" height="10" aria-hidden="true">' + inside + '</svg>';
  // What the line of a curve looks like.
  function stroke({ colour, style }) {
    const dashes = styles[(style || 0) % styles.length];
    return drawing('<line x1="0" x2="26" y1="5" y2="5" stroke="var(--c' + colour % hues + ')" stroke-width="2.5" stroke-dasharray="' + (dashes === 'solid' ? '' : dashes.join(' ')) + '"/>');
  }

  // Beside the plot, so that it takes as many lines as it needs. A click hides what it names, or shows it again.
  function legend(chart, plot) {
    const all = plot.legend === false ? [] : names(plot);
    chart.legend.replaceChildren(...(all.length < 2 ? [] : all.map(each => {
      const item = document.createElement('button');
      item.type = 'button';
      item.setAttribute('aria-pressed', String(!chart.hidden.has(each.name)));
      item.innerHTML = plot.kind === 'bars' ? drawing('<rect x="7" width="12" height="10" fill="var(--c' + each.colour % hues + ')"/>') : stroke(each);
      item.append(each.name);
      item.addEventListener('click', () => {
        if (!chart.hidden.delete(each.name)) chart.hidden.add(each.name);
        item.setAttribute('aria-pressed', String(!chart.hidden.has(each.name)));
        chart.chart.dispatchAction({ type: 'legendToggleSelect', name: each.name });
      });
      const entry = document.createElement('li');
      entry.append(item);
      return entry;
    })));
  }

  // In another size a chart is made again: frames that no longer fit are never drawn.
  function drop(chart) {
    if (chart.chart) chart.chart.dispose();
    chart.chart = null;
  }

  // What a reader zoomed into and hid stays where only values are new.
  function show(chart, anew = true) {
    const plot = chart.plots[chart.select ? chart.select.selectedIndex : 0];
    const width = chart.place.clientWidth;
    const { option, height } = plot.kind === 'heat' ? heat(plot) : plot.kind === 'bars' ? bars(plot, width) : lines(plot, width);
    const tall = height ? height + 'px' : '';
    if (chart.place.style.height !== tall) {
      chart.place.style.height = tall;
      drop(chart);
    }
    if (!chart.chart) {
      chart.chart = echarts.init(chart.place, null, { renderer: 'svg' });
      anew = true;
    }
    chart.notes.forEach((note, n) => {
      note.hidden = chart.notes.length > 1 && n !== (chart.select ? chart.select.selectedIndex : 0);
    });
    const known = new Set(names(plot).map(each => each.name));
    chart.hidden.forEach(name => known.has(name) || chart.hidden.delete(name));
    option.legend.selected = Object.fromEntries([...chart.hidden].map(name => [name, false]));
    legend(chart, plot);
    chart.chart.setOption(option, anew ? true : { replaceMerge: ['series'] });
    chart.place.setAttribute('role', 'img');
    chart.place.setAttribute('aria-label', plot.title);
    chart.drawn = true;
    chart.waits = false;
  }

  // Those that are seen at once, the others when there is time.
  function draw(anew = true) {
    palette = Object.fromEntries(['soft', 'line', 'card', 'text', 'mark', ...Array.from({ length: hues }, (_, i) => 'c' + i)].map(name => [name, colour(name)]));
    charts.forEach(chart => {
      if (chart.place.getBoundingClientRect().top < innerHeight) {
        show(chart, anew || !chart.drawn);
      } else {
        chart.anew = anew || chart.waits && chart.anew || !chart.drawn;
        chart.waits = true;
      }
    });
    if (!idling) later();
  }

  function later() {
    idling = charts.some(chart => chart.waits);
    if (!idling) return;
    (globalThis.requestIdleCallback || setTimeout)(() => {
      const chart = charts.find(each => each.waits);
      if (chart) show(chart, chart.anew);
      later();
    });
  }

  function theme(name) {
    root.dataset.theme = name;
    draw();
  }

  // A section of plots, of which one is chosen.
  function add(section, plots) {
    const chart = { section, plots, place: section.querySelector('.plot'), select: section.querySelector('select'), notes: [...section.querySelectorAll('.note')],
      legend: section.querySelector('.legend'), hidden: new Set(), chart: null, drawn: false, waits: false, anew: true, width: 0 };
    charts.push(chart);
    if (chart.select) chart.select.addEventListener('change', () => show(chart));
    new ResizeObserver(() => {
      const width = chart.place.clientWidth;
      if (!chart.drawn || width === chart.width) return;
      chart.width = width;
      drop(chart);
      show(chart);
    }).observe(chart.place);
    return chart;
  }

  // A click on a head sorts a table by its column; another one turns it around.
  function sortable(table) {
    table.querySelectorAll('thead th').forEach((head, column) => {
      const value = row => row.cells[column].textContent;
      const amount = text => parseFloat(text.replace(/,/g, ''));
      const sort = event => {
        if (event.target.closest('a')) return;
        const down = head.getAttribute('aria-sort') === 'ascending';
        table.querySelectorAll('thead th').forEach(each => each.removeAttribute('aria-sort'));
        head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        const body = table.tBodies[0];
        body.append(...[...body.rows].sort((a, b) => {
          const [x, y] = [value(a), value(b)];
          const [p, q] = [amount(x), amount(y)];
          const order = Number.isNaN(p) || Number.isNaN(q) ? Number.isNaN(p) - Number.isNaN(q) || x.localeCompare(y) : p - q;
          return down ? -order : order;
        }));
      };
      head.addEventListener('click', sort);
    });
  }

  root.dataset.theme = dark.matches ? 'dark' : 'light';
  dark.addEventListener('change', () => theme(dark.matches ? 'dark' : 'light'));
  document.getElementById('theme').addEventListener('click', () => theme(root.dataset.theme === 'dark' ? 'light' : 'dark'));
  globalThis.isonorm = { data, charts, add, draw, show, theme, number, names, sortable, stroke };
  if (Array.isArray(data)) {
    document.querySelectorAll('.plots').forEach((section, index) => add(section, data[index]));
    document.querySelectorAll('table').forEach(sortable);
    draw();
  }
})();
