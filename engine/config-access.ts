/** The part `access` of a config: roles with their topics, and the keys of tokens. Runs once, at start. Throws ConfigError. */
import { type AccessConfig, DEFAULT_CONFIG, type JwtConfig, type RoleConfig } from './config.ts'
import { ConfigError, checkList, checkObject, checkRecord } from './config-value.ts'
import { parseRule } from './registry/access-rule.ts'
import { roleFault } from './registry/device.ts'

const ROLES_MAX = 100
const RULES_MAX = 100
const TEXT_LENGTH_MAX = 1024

export function checkAccess(given: unknown): AccessConfig {
  const { roles, jwt } = checkObject('access', given ?? {}, ['roles', 'jwt'])
  return {
    roles: { ...DEFAULT_CONFIG.access.roles, ...(roles === undefined ? {} : checkRoles(roles)) },
    jwt: jwt === undefined ? null : checkJwt(jwt),
  }
}

function checkRoles(given: unknown): Record<string, RoleConfig> {
  const entries = Object.entries(checkRecord('access.roles', given))
  if (entries.length > ROLES_MAX) throw new ConfigError('access.roles', given, `at most ${ROLES_MAX} roles`)
  const checked = entries.map(([name, role]): [string, RoleConfig] => {
    const path = `access.roles.${name}`
    const fault = roleFault(name)
    if (fault !== null) throw new ConfigError(path, role, `named otherwise: a name ${fault}`)
    const { publish, subscribe } = checkObject(path, role, ['publish', 'subscribe'])
    return [
      name,
      {
        publish: checkRules(`${path}.publish`, publish),
        subscribe: checkRules(`${path}.subscribe`, subscribe),
      },
    ]
  })
  return Object.fromEntries(checked)
}

function checkRules(path: string, given: unknown): string[] {
  if (given === undefined) return []
  return checkList(path, given, 0, RULES_MAX).map((rule, index) => {
    if (typeof rule === 'string' && parseRule(rule) !== null) return rule
    const placeholders = 'whole levels {device}, {client}, {group}, {member}, + or #'
    throw new ConfigError(
      `${path}[${index}]`,
      rule,
      `a topic filter with ${placeholders}: devices/{device}/#`,
    )
  })
}

function checkJwt(given: unknown): JwtConfig {
  const { keys, issuer, audience, claim } = checkObject('access.jwt', given, [
    'keys',
    'issuer',
    'audience',
    'claim',
  ])
  return {
    keys: checkText('access.jwt.keys', keys, 'the path of a JWKS file'),
    issuer: issuer === undefined ? null : checkText('access.jwt.issuer', issuer, 'a text'),
    audience: audience === undefined ? null : checkText('access.jwt.audience', audience, 'a text'),
    claim: claim === undefined ? 'sub' : checkText('access.jwt.claim', claim, 'the name of a claim'),
  }
}

function checkText(path: string, given: unknown, allowed: string): string {
  if (typeof given === 'string' && given !== '' && given.length <= TEXT_LENGTH_MAX) return given
  throw new ConfigError(path, given, allowed)
}
