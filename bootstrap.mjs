/**
 * `node bootstrap.mjs FILE ARGS...` runs FILE on the project's Node 22, and first installs what is missing. The npm
 * scripts start here, on whatever Node the system has (20 or later), so this file is plain JavaScript without packages.
 * Invariant: the stamp in node_modules names the lockfile whose packages were installed and seen to load.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(fileURLToPath(import.meta.url))
const stampFile = join(root, 'node_modules', '.millrace-stamp')
const lockFile = join(root, '.install.lock')
const pinnedNode = join(root, 'node_modules', '.bin', 'node')
const waitMsMax = 15 * 60_000

const [file, ...args] = process.argv.slice(2)
if (file === undefined) fail('usage: node bootstrap.mjs FILE ARGS...')
if (!isInstalled()) await installAlone()
run(projectNode(), [file, ...args])

/** One clear line, and out. */
function fail(line) {
  console.error(`millrace: ${line}`)
  process.exit(1)
}

/** What the stamp says when everything is in place; another platform's node_modules (a mounted clone) has another. */
function stamp() {
  const digest = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
  return `${digest} ${process.platform}-${process.arch}\n`
}

function isInstalled() {
  return existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp()
}

/** Installs while no other bootstrap does; two npm scripts started at once share one installation. */
async function installAlone() {
  await takeLock()
  process.once('exit', () => rmSync(lockFile, { force: true }))
  if (isInstalled()) return releaseLock()
  if (!isAdoptable() || faultOfNativePackages() !== '') install()
  const fault = faultOfNativePackages()
  if (fault !== '') fail(`${fault}. Supported: glibc Linux (x64, arm64) and macOS, with Node 22's packages`)
  writeFileSync(stampFile, stamp())
  releaseLock()
}

function releaseLock() {
  rmSync(lockFile, { force: true })
}

/** The lock is a file with its owner's process id, linked into place whole; a dead owner's lock is taken over. */
async function takeLock() {
  const own = `${lockFile}.${process.pid}`
  writeFileSync(own, String(process.pid))
  try {
    for (const startMs = Date.now(); !isLinked(own); await sleep(200)) {
      const owner = lockOwner()
      if (owner !== 0 && !isAlive(owner)) rmSync(lockFile, { force: true })
      else if (Date.now() - startMs > waitMsMax) {
        fail(`process ${owner} has been installing for too long; if it is not, remove ${lockFile}`)
      }
    }
  } finally {
    rmSync(own, { force: true })
  }
}

function isLinked(own) {
  try {
    linkSync(own, lockFile)
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') fail(`cannot write to ${root}: ${error.message}`)
    return false
  }
}

/** 0 when the lock has just gone. */
function lockOwner() {
  try {
    return Number(readFileSync(lockFile, 'utf8'))
  } catch {
    return 0
  }
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function sleep(durationMs) {
  return new Promise((resolve) => setTimeout(resolve, durationMs))
}

/** Whether npm has already put exactly the lockfile's packages there (an `npm ci` by hand). */
function isAdoptable() {
  const hiddenFile = join(root, 'node_modules', '.package-lock.json')
  if (!existsSync(hiddenFile)) return false
  const { packages: present } = JSON.parse(readFileSync(hiddenFile, 'utf8'))
  const { packages: wanted } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  const isSame = ([path, { version }]) => wanted[path]?.version === version
  const isThere = ([path, { optional }]) => path === '' || optional || path in present
  return Object.entries(present).every(isSame) && Object.entries(wanted).every(isThere)
}

/**
 * `npm ci`, under Node 22: uWebSockets.js keeps a binary per Node version in optional packages with an engines field,
 * and npm skips without a word those that do not fit the Node it runs on itself.
 */
function install() {
  const command = "npx -y -p node@22 -c 'npm ci --include=dev --include=optional --no-audit --no-fund'"
  console.error(`millrace: installing packages (${command}); this takes about a minute`)
  const { status, stdout, stderr } = spawnSync(command, { cwd: root, shell: true, encoding: 'utf8' })
  if (status === 0) return
  process.stderr.write(`${stdout}${stderr}`)
  fail(
    `installing failed, npm's words are above; check the network and disk, then in ${root} run: ${command}`,
  )
}

/** Loads the packages that bring native code, in a child; what is wrong, or an empty string. */
function faultOfNativePackages() {
  const code = `
    for (const name of ['uWebSockets.js', 'chdb']) {
      try { require(name) } catch (error) {
        console.log(name + ' does not load: ' + String(error.message).split('\\n')[0])
        process.exit(1)
      }
    }`
  const { status, signal, stdout } = spawnSync(projectNode(), ['-e', code], { cwd: root, encoding: 'utf8' })
  if (status === 0) return ''
  return stdout.trim() || `the native packages do not load (${signal ?? `exit code ${status}`})`
}

/** The Node 22 that the lockfile pins, or this one where the platform has no pinned one and it fits. */
function projectNode() {
  if (existsSync(pinnedNode)) return pinnedNode
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major === 22 && minor >= 12) return process.execPath
  const platform = `${process.platform}-${process.arch}`
  return fail(
    `no packaged Node for ${platform}, and this is Node ${process.version}: install Node 22 (22.12 or later)`,
  )
}

/** Runs the program in the foreground and ends as it ends. */
function run(node, argv) {
  const child = spawn(node, argv, { stdio: 'inherit' })
  child.on('error', (error) => fail(`cannot run ${relative(root, node)}: ${error.message}`))
  // Ctrl-C reaches the child without our help, as it shares our process group; a `kill` reaches only this process.
  for (const signal of process.stdin.isTTY ? ['SIGTERM'] : ['SIGTERM', 'SIGINT', 'SIGHUP'])
    forward(signal, child)
  if (process.stdin.isTTY) for (const signal of ['SIGINT', 'SIGHUP']) process.on(signal, () => {})
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))
}

/** npm repeats the signals it gets, so those of one second are passed on as one. */
function forward(signal, child) {
  let sentMs = 0
  process.on(signal, () => {
    if (Date.now() - sentMs < 1000) return
    sentMs = Date.now()
    child.kill(signal)
  })
}
