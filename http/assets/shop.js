/*
 * What every page does when its server can't answer: it says so and shows the way on, at another server. A page never
 * fetches from another server itself (API.md, "Redirection"), so these are links.
 */
const others = (document.body.dataset.others ?? '').split(' ').filter((url) => url !== '')
/** A server that lives answers this at once; one that hangs should not hold up the shopper for long. */
const askTimeoutMs = 3000

function tell(text, links) {
  document.getElementById('lost')?.remove()
  const notice = document.createElement('p')
  notice.id = 'lost'
  notice.className = 'notice'
  notice.setAttribute('role', 'alert')
  notice.append(text)
  for (const url of links) {
    const link = document.createElement('a')
    link.href = `${url}${location.pathname}${location.search}`
    link.textContent = new URL(url).host
    notice.append(' ', link)
  }
  document.querySelector('main').prepend(notice)
  notice.scrollIntoView({ block: 'center' })
}

function tellLost() {
  const way = others.length === 0 ? 'Please try again in a moment.' : 'Please go on at another server:'
  tell(
    `This server can’t be reached just now. Your cart is safe, the last change may be missing. ${way}`,
    others,
  )
}

document.addEventListener('htmx:error', (event) => {
  if (event.detail?.ctx !== undefined) tellLost()
})

// The part of the page stays as it was (see the htmx configuration); what the server said is shown above it.
document.addEventListener('htmx:response:error', ({ detail }) => {
  const answer = new DOMParser().parseFromString(detail.ctx.text ?? '', 'text/html')
  const said = answer.querySelector('.problem > p')?.textContent ?? 'this did not work'
  tell(`Sorry: ${said}. Please try again in a moment, or reload the page.`, [])
})

document.addEventListener('htmx:after:request', ({ detail }) => {
  if (detail.ctx.response.status < 400) document.getElementById('lost')?.remove()
})

// A plain form would end on the browser's error page, with everything that was typed gone: so ask first.
document.addEventListener('submit', (event) => {
  const form = event.target
  if (event.defaultPrevented || form.method !== 'post' || form.hasAttribute('hx-post')) return
  if (form.dataset.asked !== undefined) {
    delete form.dataset.asked
    return
  }
  event.preventDefault()
  if (form.dataset.asking === undefined) void submitIfAlive(form, event.submitter)
})

async function submitIfAlive(form, submitter) {
  form.dataset.asking = ''
  try {
    const answer = await fetch('/healthz', { cache: 'no-store', signal: AbortSignal.timeout(askTimeoutMs) })
    await answer.text()
    form.dataset.asked = ''
    form.requestSubmit(submitter)
  } catch {
    tellLost()
  } finally {
    delete form.dataset.asking
  }
}
