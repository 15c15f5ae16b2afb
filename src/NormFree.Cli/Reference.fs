namespace NormFree.Cli

open NormFree.Runs

/// <summary>The reference page of the command line, made from the tables.</summary>
[<RequireQualifiedAccess>]
module Reference =

    /// A bar would end the cell.
    let private cell (text: string) = text.Replace("|", "\\|")

    let private code (text: string) = if text = "" then "" else $"`{cell text}`"

    let private otherNames (spec: OptionSpec) =
        [ for other, name in OldNames.spellings do
              if name = spec.Name then
                  $" Also `{other}`."
          for old, today in OldNames.options do
              if today = spec.Name then
                  $" Old name: `{old}`."
          for option, old, today in OldNames.values do
              if option = spec.Name then
                  $" Old value: `{old}` for `{today}`." ]
        |> String.concat ""

    let private row (command: Command) (spec: OptionSpec) =
        let name =
            if spec.Kind = ValueKind.Flag then
                spec.Name
            else
                $"{spec.Name} {spec.Placeholder}"

        let values =
            match spec.Kind with
            | ValueKind.Choice forms -> [ for form in forms -> code form ] |> String.concat ", "
            | ValueKind.Flag -> ""
            | ValueKind.Text
            | ValueKind.Path -> spec.Values

        let standard =
            if List.contains spec.Name command.Required then
                "required"
            else
                code spec.Default

        $"| `{cell name}` | {cell spec.About}{otherNames spec} | {values} | {standard} |"

    let private table (command: Command) (specs: OptionSpec list) =
        [ "<div class=\"options\">"; ""; "| option | meaning | values | default |"; "|---|---|---|---|" ]
        @ [ for spec in specs -> row command spec ]
        @ [ ""; "</div>" ]

    let private section (command: Command) =
        [ $"## normfree {command.Name}"
          ""
          command.About
          ""
          "```text"
          Help.usage command
          "```"
          match command.Operand with
          | Some operand ->
              let words = [ for word in operand.Words -> code word ] |> String.concat ", "
              ""
              $"`{operand.Name}`: {operand.About} {words}".TrimEnd()
          | None -> ()
          for group, specs in List.groupBy _.Group command.Options do
              ""
              $"### {group}"
              ""
              yield! table command specs
          "" ]

    /// <summary>The page as Markdown.</summary>
    let markdown () : string =
        [ "# Command-line reference"
          ""
          "`normfree COMMAND --help all` prints the same. Exit codes: 0 success, 1 failure, 2 wrong usage, 75 time limit reached (train)."
          ""
          yield! List.collect section Commands.all ]
        |> String.concat "\n"
