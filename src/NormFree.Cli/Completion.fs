namespace NormFree.Cli

/// <summary>Completion scripts for shells, made from the tables.</summary>
[<RequireQualifiedAccess>]
module internal Completion =

    let private words (items: string list) = String.concat " " items
    let private names (command: Command) = "--help" :: [ for spec in command.Options -> spec.Name ]

    /// The values of an option that a shell can offer; it offers files for all others.
    let private values (spec: OptionSpec) =
        match spec.Kind with
        | ValueKind.Choice forms -> OptionSpec.WordsOf forms
        | ValueKind.Flag
        | ValueKind.Text
        | ValueKind.Path -> []

    /// Every command, option and its values, for options that have some.
    let private valued =
        [ for command in Commands.all do
              for spec in command.Options do
                  match values spec with
                  | [] -> ()
                  | values -> command, spec, values ]

    /// A command's options with other values, after the command: files are completed there.
    let private freeOptions (command: Command) =
        [ for spec in command.Options do
              if spec.Kind <> ValueKind.Flag && (values spec).IsEmpty then
                  $"{command.Name} {spec.Name}" ]

    let private operands (command: Command) = command.Operand |> Option.map _.Words |> Option.defaultValue []

    let private secondWords group =
        [ for command in Commands.all do
              if command.Name.StartsWith(group + " ") then
                  command.Name.Split(' ')[1] ]

    let private groupNames = List.map fst Commands.groups

    /// Shared by bash and zsh, whose bashcompinit runs it.
    let private bash () =
        let groups = String.concat "|" groupNames

        [ "# Completion of normfree for bash: source it, for example from ~/.bashrc."
          "_normfree() {"
          "    local word=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\""
          "    local command=\"${COMP_WORDS[1]}\" first=2 choices=\"\""
          $"    case \"$command\" in {groups}) command=\"$command ${{COMP_WORDS[2]}}\"; first=3 ;; esac"
          "    COMPREPLY=()"
          "    if (( COMP_CWORD < first )); then"
          "        case \"$COMP_CWORD ${COMP_WORDS[1]}\" in"
          for group in groupNames do
              $"            \"2 {group}\") choices=\"{words (secondWords group)}\" ;;"
          $"            *) choices=\"{words Commands.firstWords}\" ;;"
          "        esac"
          "        COMPREPLY=($(compgen -W \"$choices\" -- \"$word\"))"
          "        return"
          "    fi"
          "    case \"$command $previous\" in"
          for command, spec, values in valued do
              $"        \"{command.Name} {spec.Name}\") choices=\"{words values}\" ;;"
          for command in Commands.all do
              match [ for option in freeOptions command -> $"\"{option}\"" ] with
              | [] -> ()
              | free ->
                  let alternatives = String.concat "|" free
                  $"        {alternatives}) return ;;"
          "    esac"
          "    if [ -z \"$choices\" ]; then"
          "        case \"$command\" in"
          for command in Commands.all do
              let offered = names command @ operands command
              $"            \"{command.Name}\") choices=\"{words offered}\" ;;"
          "        esac"
          "    fi"
          "    COMPREPLY=($(compgen -W \"$choices\" -- \"$word\"))"
          "}"
          "complete -o default -F _normfree normfree" ]

    let private zsh () =
        "#compdef normfree"
        :: "# Completion of normfree for zsh: source it after compinit, for example from ~/.zshrc."
        :: "autoload -U +X bashcompinit && bashcompinit"
        :: List.tail (bash ())

    /// A text between single quotes of fish and PowerShell, which double or escape a quote inside.
    let private fishQuoted (text: string) = "'" + text.Replace("\\", "\\\\").Replace("'", "\\'") + "'"

    let private fish () =
        let seen words = $"__fish_seen_subcommand_from {words}"

        // 'bench train' is not 'train'.
        let condition (command: Command) =
            match command.Name.Split ' ' with
            | [| name |] -> $"{seen name}; and not {seen (words groupNames)}"
            | names -> names |> Array.map seen |> String.concat "; and "

        let option (command: Command) (spec: OptionSpec) =
            let argument =
                match spec.Kind, values spec with
                | ValueKind.Flag, _ -> ""
                | _, [] -> " -r"
                | _, values -> $" -x -a '{words values}'"

            $"complete -c normfree -n '{condition command}' -l {spec.Name.Substring 2}{argument} -d {fishQuoted spec.About}"

        [ "# Completion of normfree for fish: save it as ~/.config/fish/completions/normfree.fish."
          $"complete -c normfree -n __fish_use_subcommand -f -a '{words Commands.firstWords}'"
          for group in groupNames do
              let second = words (secondWords group)
              $"complete -c normfree -n '__fish_seen_subcommand_from {group}; and not __fish_seen_subcommand_from {second}' -f -a '{second}'"
          for command in Commands.all do
              if not (operands command).IsEmpty then
                  $"complete -c normfree -n '{condition command}' -f -a '{words (operands command)}'"

              for spec in command.Options do
                  option command spec ]

    let private powershell () =
        let list (items: string list) = [ for item in items -> $"'{item}'" ] |> String.concat ", "

        [ "# Completion of normfree for PowerShell: add it to $PROFILE."
          "Register-ArgumentCompleter -Native -CommandName normfree -ScriptBlock {"
          "    param($word, $ast, $position)"
          "    $options = @{"
          for command in Commands.all do
              $"        '{command.Name}' = @({list (names command @ operands command)})"
          "    }"
          "    $values = @{"
          for command, spec, values in valued do
              $"        '{command.Name} {spec.Name}' = @({list values})"
          "    }"
          "    $before = @($ast.CommandElements | Where-Object { $_.Extent.EndOffset -lt $position } | ForEach-Object { \"$_\" })"
          "    $command = \"$($before[1])\""
          $"    if ($command -in @({list groupNames})) {{ $command = \"$command $($before[2])\" }}"
          $"    if (\"$command $($before[-1])\" -in @({list (List.collect freeOptions Commands.all)})) {{ return }}"
          "    $choices = $values[\"$command $($before[-1])\"]"
          "    if (-not $choices) { $choices = $options[$command] }"
          $"    if ($before.Count -le 1) {{ $choices = @({list Commands.firstWords}) }}"
          for group in groupNames do
              $"    if ($before.Count -eq 2 -and $before[1] -eq '{group}') {{ $choices = @({list (secondWords group)}) }}"
          "    $choices | Where-Object { $_ -like \"$word*\" } |"
          "        ForEach-Object { [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_) }"
          "}" ]

    /// <summary>The script for a shell, one of the words of the command's operand.</summary>
    let script (shell: string) : string list =
        match shell with
        | "zsh" -> zsh ()
        | "fish" -> fish ()
        | "powershell" -> powershell ()
        | _ -> bash ()
