/* The console's live part: each event is listed, and the table is fetched again, at most once a second. */
const events = document.getElementById('events')
const refreshMs = 1000
const eventsMax = 50
let waiting = null

function refresh() {
  if (waiting !== null) return
  waiting = setTimeout(() => {
    waiting = null
    const cluster = document.getElementById('cluster')
    if (cluster !== null) cluster.dispatchEvent(new Event('refresh'))
  }, refreshMs)
}

function show(kind, data) {
  const line = document.createElement('li')
  const time = document.createElement('small')
  time.textContent = new Date().toLocaleTimeString()
  const text = document.createElement('span')
  text.textContent = ` ${kind}: ${data}`
  line.append(time, text)
  events.prepend(line)
  while (events.children.length > eventsMax) events.lastChild.remove()
}

const source = new EventSource('/api/cluster/events')
for (const kind of ['primary', 'member', 'catalog', 'carts']) {
  source.addEventListener(kind, (event) => {
    show(kind, event.data)
    refresh()
  })
}
setInterval(refresh, 5 * refreshMs)
