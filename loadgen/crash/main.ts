/** `npm run crash`: reads the options, runs, prints, and turns the outcome into an exit code. */
import { HELP, readCrashOptions, UsageError } from './crash-options.ts'
import { progressLine, reportText, roundLine } from './crash-report.ts'
import { runCrash } from './crash-run.ts'

const ExitCode = { ok: 0, failed: 1, usage: 2 } as const

async function main(args: string[]): Promise<number> {
  const options = readCrashOptions(args)
  if (options === null) {
    process.stdout.write(HELP)
    return ExitCode.ok
  }
  const { run, isJson } = options
  const interrupt = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupt.abort())
  const { stderr } = process
  const again = `--seed ${run.seed} --faults ${run.faults.join(',')} --gateways ${run.gateways} --shards ${run.shards}`
  stderr.write(`crash: ${again}\n`)
  let proxyFaultsTold = 0
  const report = await runCrash(run, {
    signal: interrupt.signal,
    onRound: (round, recoveryMs, progress) => {
      if (!stderr.isTTY) stderr.write(`${roundLine(round, run.rounds, recoveryMs, progress)}\n`)
    },
    onProgress: (progress) => {
      const isDue =
        stderr.isTTY || (progress.phase === 'proxy' && progress.proxyFaults >= proxyFaultsTold + 100)
      if (!isDue) return
      proxyFaultsTold = progress.proxyFaults
      stderr.write(`${progressLine(progress, run.rounds, run.proxyFaultCount)}\n`)
    },
  })
  process.stdout.write(isJson ? `${JSON.stringify(report)}\n` : reportText(report))
  if (report.checks?.audit.exists === false)
    stderr.write('crash: NOT AUDITED: this engine has no `millrace audit`\n')
  if (!report.isOk)
    stderr.write(`crash: FAILED with --seed ${report.seed}; again: npm run crash -- ${again}\n`)
  return report.isOk ? ExitCode.ok : ExitCode.failed
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`crash: ${error.message}; npm run crash -- --help tells the options\n`)
  process.exitCode = ExitCode.usage
}
