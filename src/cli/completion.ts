/** Completion scripts for bash, zsh and fish, made from the command table. */
import type { Command } from './command.ts'
import type { OptionSpec } from './options.ts'

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

const operandWords = (command: Command, commands: readonly Command[], guests: readonly string[]): readonly string[] => {
  const completes = command.operand?.completes
  if (completes === undefined) return []
  if (completes === 'guests') return guests
  return completes === 'commands' ? commands.map(({ name }) => name) : completes
}

const takesFile = (command: Command): boolean => command.operand?.completes === 'guests'

function bash(commands: readonly Command[], guests: readonly string[]): string {
  const values = new Map<string, string>()
  for (const command of commands) {
    for (const [name, spec] of Object.entries(command.options)) {
      if (spec.type === 'flag') continue
      const words = spec.type === 'list' ? ['all', ...(spec.choices ?? [])] : (spec.choices ?? [])
      const reply =
        spec.type === 'file'
          ? 'COMPREPLY=($(compgen -f -- "$word"))'
          : `COMPREPLY=($(compgen -W "${words.join(' ')}" -- "$word"))`
      values.set(`${command.name}:--${name}`, reply)
    }
  }
  return [
    '# bash completion for umbra; load it with: source <(umbra completion bash)',
    '_umbra() {',
    '  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}',
    '  COMPREPLY=()',
    '  if ((COMP_CWORD == 1)); then',
    `    COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(' ')} --version --help" -- "$word"))`,
    '    return',
    '  fi',
    '  case "$command:$previous" in',
    ...[...values].map(([key, reply]) => `    ${key}) ${reply}; return ;;`),
    '  esac',
    '  case "$command" in',
    ...commands.map((command) => {
      const options = Object.keys(command.options).map((name) => `--${name}`)
      const words = [...options, ...operandWords(command, commands, guests)].join(' ')
      const files = takesFile(command) ? ' $(compgen -f -- "$word")' : ''
      return `    ${command.name}) COMPREPLY=($(compgen -W "${words}" -- "$word")${files}) ;;`
    }),
    '  esac',
    '}',
    'complete -o filenames -F _umbra umbra',
  ].join('\n')
}

/** Quoted for a single-quoted word of zsh's _arguments. */
const zshText = (text: string): string => text.replaceAll("'", "'\\''").replaceAll(/[[\]:]/g, '\\$&')

function zshOption([name, spec]: [string, OptionSpec]): string {
  const head = `'--${name}${spec.type === 'flag' ? '' : '='}[${zshText(spec.summary)}]`
  if (spec.type === 'flag') return `${head}'`
  if (spec.type === 'file') return `${head}:file:_files'`
  if (spec.type === 'list') return `${head}:list:_values -s , ${name} all ${(spec.choices ?? []).join(' ')}'`
  return `${head}:${name}:(${(spec.choices ?? []).join(' ')})'`
}

function zsh(commands: readonly Command[], guests: readonly string[]): string {
  const branch = (command: Command): string[] => {
    const words = operandWords(command, commands, guests)
    const operand = takesFile(command)
      ? [`':guest:{ _alternative "guests:guest:(${words.join(' ')})" "files:file:_files" }'`]
      : words.length > 0
        ? [`':word:(${words.join(' ')})'`]
        : []
    const pieces = [...Object.entries(command.options).map(zshOption), ...operand]
    return [`    ${command.name}) _arguments ${pieces.join(' ')} ;;`]
  }
  return [
    '#compdef umbra',
    '# zsh completion for umbra; load it with: source <(umbra completion zsh)',
    '_umbra() {',
    '  local -a commands',
    `  commands=(${commands.map(({ name, summary }) => `'${name}:${zshText(summary)}'`).join(' ')})`,
    '  if ((CURRENT == 2)); then _describe command commands; return; fi',
    '  local command=$words[2]',
    '  shift words; ((CURRENT--))',
    '  case "$command" in',
    ...commands.flatMap(branch),
    '  esac',
    '}',
    'compdef _umbra umbra',
  ].join('\n')
}

const fishText = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

function fish(commands: readonly Command[], guests: readonly string[]): string {
  const lines = ['# fish completion for umbra; load it with: umbra completion fish | source', 'complete -c umbra -f']
  for (const command of commands) {
    lines.push(`complete -c umbra -n __fish_use_subcommand -a ${command.name} -d ${fishText(command.summary)}`)
    const when = `-n '__fish_seen_subcommand_from ${command.name}'`
    for (const [name, spec] of Object.entries(command.options)) {
      const words = spec.type === 'list' ? ['all', ...(spec.choices ?? [])] : (spec.choices ?? [])
      const value = spec.type === 'flag' ? '' : spec.type === 'file' ? ' -r -F' : ` -x -a '${words.join(' ')}'`
      lines.push(`complete -c umbra ${when} -l ${name}${value} -d ${fishText(spec.summary)}`)
    }
    const words = operandWords(command, commands, guests)
    if (words.length > 0)
      lines.push(`complete -c umbra ${when}${takesFile(command) ? ' -F' : ''} -a '${words.join(' ')}'`)
  }
  return lines.join('\n')
}

/** The script that a shell loads. */
export function completionScript(shell: Shell, commands: readonly Command[], guests: readonly string[]): string {
  return { bash, zsh, fish }[shell](commands, guests)
}
