/** The operations console: the cluster as this node sees it, kept fresh by its events. */
import { html } from 'hono/html'
import type { ClusterView, MemberView } from '../../node/replica-api.ts'
import type { Shop } from '../shop.ts'
import type { Html } from './layout.ts'
import { page, pageRoute } from './layout.ts'
import { frameOf } from './visitors.ts'

function rolesOf(member: MemberView): Html {
  const roles: [boolean, string][] = [
    [member.primary, 'primary'],
    [member.voter, 'voter'],
    [!member.voter && member.eligible, 'eligible'],
    [member.draining, 'draining'],
    [!member.alive, 'dead'],
  ]
  return html`${roles.filter(([is]) => is).map(([, role]) => html`<span class="badge ${role}">${role}</span> `)}`
}

/** For how long the carts have been waiting that are not everywhere; nothing when none has for a second. */
function waitOf(member: MemberView): Html | '' {
  const waitMs = Math.max(member.oldestUndeliveredMs, member.oldestUnderReplicatedMs)
  return waitMs < 1_000 ? '' : html` <small>for ${Math.floor(waitMs / 1_000)} s</small>`
}

/** It was overloaded for minutes, so that it gets fewer users than its capacity is worth. */
function sparedNote({ capacity, capacityInUse }: MemberView): string {
  return capacityInUse < capacity ? `, spared: asked for ${capacityInUse} of ${capacity}` : ''
}

function memberRow(view: ClusterView, member: MemberView): Html {
  const same = member.catalogVersion === view.catalog.version && member.catalogDigest === view.catalog.digest
  return html`<tr class="${member.alive ? '' : 'gone'}" data-member="${member.node}">
    <td>
      <span class="dot ${member.alive ? 'alive' : 'dead'}" aria-hidden="true"></span>
      <a href="${member.url}/cluster">${member.node}</a>
    </td>
    <td>${rolesOf(member)}</td>
    <td>${member.catalogVersion} ${same ? '' : html`<small>differs</small>`}</td>
    <td>${member.users}</td>
    <td>${member.carts}</td>
    <td>${member.undeliveredCarts} / ${member.underReplicatedCarts}${waitOf(member)}</td>
    <td>
      <progress
        aria-label="Load of ${member.node}"
        value="${Math.round(member.loadPercent)}"
        max="100"
      ></progress>
      <small>${Math.round(member.loadPercent)} %${sparedNote(member)}</small>
    </td>
    <td>${(member.lastSeenMs / 1000).toFixed(1)} s</td>
  </tr>`
}

function facts(view: ClusterView): Html {
  const entries: [string, string][] = [
    ['Primary', view.primary?.node ?? 'none right now'],
    ['Term', String(view.term)],
    ['Lease', `${Math.max(0, Math.round(view.leaseRemainingMs))} ms`],
    ['Log', `${view.appliedIndex} applied of ${view.commitIndex}`],
    ['Catalog', `version ${view.catalog.version}, ${view.catalog.digest.slice(0, 8)}…`],
    [
      'Orders',
      view.orders === null ? 'not a voter' : `${view.orders.count}, ${view.orders.digest.slice(0, 8)}…`,
    ],
    ['Settled', view.settled ? 'yes' : 'not yet'],
  ]
  return html`<dl class="facts">
    ${entries.map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`
}

export function clusterPages(shop: Shop): void {
  pageRoute(shop, 'get', '/cluster', async (context) => {
    const view = shop.replica.cluster.view()
    const body = html`<section
        id="cluster"
        hx-get="/cluster"
        hx-trigger="refresh"
        hx-select="#cluster"
        hx-select-oob="#primary"
        hx-swap="outerHTML"
      >
        <h1>Cluster <small>as ${view.node} sees it</small></h1>
        ${facts(view)}
        <div class="overflow-auto">
          <table class="members">
            <thead>
              <tr>
                <th>Node</th>
                <th>Role</th>
                <th>Catalog</th>
                <th>Users</th>
                <th>Carts</th>
                <th title="Carts that not every member of the set has / that are on too few disks">
                  Undelivered / under-replicated
                </th>
                <th>Load</th>
                <th>Heard</th>
              </tr>
            </thead>
            <tbody>
              ${view.members.map((member) => memberRow(view, member))}
            </tbody>
          </table>
        </div>
      </section>
      <h2>Events</h2>
      <ol id="events" class="events" role="log" aria-label="Events, newest first"></ol>`
    const frame = await frameOf(shop, context)
    return await page(shop, { ...frame, title: 'Cluster', body, scripts: ['cluster.js'] })
  })
}
