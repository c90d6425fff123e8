/** Reads the repository's own files and says what a source file imports and names, from its syntax tree. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseAst } from 'vitest/node'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** Paths (relative to the root) of all files that are in the repository or would be added to it. */
export function repositoryFiles(): string[] {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const listed = execFileSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  const files = new Set(listed.split('\0').filter((path) => path !== ''))
  return [...files].filter((path) => existsSync(join(root, path))).toSorted()
}

export type Import = {
  /** A path relative to the root for a file of ours, else the specifier as written. */
  readonly target: string
  readonly typeOnly: boolean
  /** Imported names; `*` for everything. */
  readonly names: readonly string[]
  readonly line: number
}

/** A use of a name, such as `Date` or `process.hrtime`, as a value or as a type. */
export type Use = { readonly name: string; readonly line: number }

export type Facts = { readonly imports: readonly Import[]; readonly uses: readonly Use[] }

type SyntaxNode = { readonly type: string; readonly start: number; readonly [field: string]: unknown }

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
}

/** The facts of one TypeScript file; `path` is relative to the root. Throws when it can't be parsed. */
export function factsOf(path: string, source: string): Facts {
  const program: unknown = parseAst(source, { lang: path.endsWith('x') ? 'tsx' : 'ts' })
  const imports: Import[] = []
  const uses: Use[] = []
  const lineOf = (node: SyntaxNode): number => source.slice(0, node.start).split('\n').length
  const visit = (node: SyntaxNode): void => {
    const found = importOf(path, node)
    if (found !== null) imports.push({ ...found, line: lineOf(node) })
    const name = useOf(node)
    if (name !== null) uses.push({ name, line: lineOf(node) })
    for (const child of childrenOf(node)) visit(child)
  }
  if (isNode(program)) visit(program)
  return { imports, uses }
}

/** The parts of a node. Labels of members are left out: `shop.performance` is not `performance`. */
function childrenOf(node: SyntaxNode): SyntaxNode[] {
  const label = node['computed'] === true ? null : labelField(node.type)
  const children: SyntaxNode[] = []
  for (const [field, value] of Object.entries(node)) {
    if (field === label) continue
    const candidates: readonly unknown[] = Array.isArray(value) ? value : [value]
    children.push(...candidates.filter(isNode))
  }
  return children
}

function labelField(type: string): string | null {
  if (type === 'MemberExpression') return 'property'
  return /^(Property|PropertyDefinition|MethodDefinition|TSPropertySignature|TSMethodSignature)$/.test(type)
    ? 'key'
    : null
}

function useOf(node: SyntaxNode): string | null {
  if (node.type === 'MemberExpression') return memberName(node)
  return node.type === 'Identifier' ? String(node['name']) : null
}

/** `Math.random` for both `Math.random` and `globalThis.Math.random`; null for what is not plain names. */
function memberName(node: SyntaxNode): string | null {
  const { object, property } = node as { object?: unknown; property?: unknown }
  if (!isNode(object) || !isNode(property)) return null
  const last =
    property.type === 'Literal' ? property['value'] : node['computed'] === true ? null : property['name']
  const first = object.type === 'MemberExpression' ? memberName(object) : nameOf(object)
  if (typeof last !== 'string' || first === null) return null
  return first === 'globalThis' || first === 'global' ? last : `${first}.${last}`
}

function nameOf(node: SyntaxNode): string | null {
  return node.type === 'Identifier' ? String(node['name']) : null
}

function importOf(path: string, node: SyntaxNode): Omit<Import, 'line'> | null {
  const isImport = /^(Import(Declaration|Expression)|Export(Named|All)Declaration|TSImportType)$/.test(
    node.type,
  )
  const source = node['source']
  if (!isImport || !isNode(source)) return null
  const specifier = typeof source['value'] === 'string' ? source['value'] : '(computed)'
  const specifiers = Array.isArray(node['specifiers']) ? node['specifiers'].filter(isNode) : []
  return {
    target: specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : specifier,
    typeOnly: isTypeOnly(node, specifiers),
    names: specifiers.length === 0 ? ['*'] : specifiers.map(importedName),
  }
}

function isTypeOnly(node: SyntaxNode, specifiers: readonly SyntaxNode[]): boolean {
  const isType = (part: SyntaxNode): boolean => part['importKind'] === 'type' || part['exportKind'] === 'type'
  if (node.type === 'TSImportType' || isType(node)) return true
  return specifiers.length > 0 && specifiers.every(isType)
}

function importedName(specifier: SyntaxNode): string {
  const imported = specifier['imported'] ?? specifier['local']
  if (specifier.type === 'ImportNamespaceSpecifier' || specifier.type === 'ImportDefaultSpecifier') return '*'
  return isNode(imported) ? String(imported['name'] ?? imported['value']) : '*'
}
