/** The cluster as this node sees it, and what an operator may do to it. */
import { z } from '@hono/zod-openapi'
import { parseNodeName } from '../../node/ids.ts'
import { clusterDocument, handOverDocument, memberDocument } from '../documents.ts'
import { check, pathId, readBytes, readJson, readOptionalJson } from '../input.ts'
import { jsonSizeBytesMax } from '../limits.ts'
import { handOverBody, memberBody } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { define } from '../shop.ts'
import { nodeNameSchema } from '../../node/commands.ts'

const nodeParams = z.object({ node: z.string() })

function readRoute(shop: Shop): void {
  define(
    shop,
    {
      method: 'get',
      path: '/api/cluster',
      summary: 'The cluster as this node sees it',
      tag: 'cluster',
      auth: 'nobody',
      answers: { 200: clusterDocument },
    },
    () => shop.answers.json(shop.replica.cluster.view()),
  )
}

function handOverRoute(shop: Shop): void {
  define(
    shop,
    {
      method: 'post',
      path: '/api/admin/cluster/primary',
      summary: 'Hands the lease over, to the node named or the best one',
      tag: 'cluster',
      auth: 'administrator',
      body: { media: { 'application/json': handOverBody }, required: false },
      answers: { 200: handOverDocument },
      problems: ['not-found', 'conflict', 'no-primary', 'outcome-unknown'],
    },
    async (context) => {
      shop.gate.admin(context)
      const { node } = await readOptionalJson(context, handOverBody)
      const to = node === undefined ? null : check(nodeNameSchema, node, 'body: node')
      return shop.answers.json(await shop.replica.cluster.handOver(to))
    },
  )
}

function memberRoutes(shop: Shop): void {
  define(
    shop,
    {
      method: 'patch',
      path: '/api/admin/cluster/members/{node}',
      summary: 'Changes a member',
      tag: 'cluster',
      auth: 'administrator',
      params: nodeParams,
      body: { media: { 'application/json': memberBody }, required: true },
      answers: { 200: memberDocument },
      problems: ['not-found', 'conflict', 'no-primary', 'outcome-unknown'],
    },
    async (context) => {
      shop.gate.admin(context)
      const node = pathId(context, 'node', parseNodeName, 'member')
      const { eligible, draining, capacity } = await readJson(context, memberBody)
      const patch = {
        ...(eligible === undefined ? {} : { eligible }),
        ...(draining === undefined ? {} : { draining }),
        ...(capacity === undefined ? {} : { capacity }),
      }
      return shop.answers.json(await shop.replica.cluster.patchMember(node, patch))
    },
  )
  define(
    shop,
    {
      method: 'delete',
      path: '/api/admin/cluster/members/{node}',
      summary: 'Removes a member for good',
      tag: 'cluster',
      auth: 'administrator',
      params: nodeParams,
      answers: { 204: 'Removed' },
      problems: ['not-found', 'conflict', 'no-primary', 'outcome-unknown'],
    },
    async (context) => {
      shop.gate.admin(context)
      const node = pathId(context, 'node', parseNodeName, 'member')
      await readBytes(context, jsonSizeBytesMax)
      await shop.replica.cluster.removeMember(node)
      return shop.answers.empty(204)
    },
  )
}

export function clusterRoutes(shop: Shop): void {
  readRoute(shop)
  handOverRoute(shop)
  memberRoutes(shop)
}
