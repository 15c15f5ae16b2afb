namespace NormFree.Cli

open System

/// <summary>The texts of <c>--help</c>.</summary>
[<RequireQualifiedAccess>]
module internal Help =

    /// Options and their sentences stand in two columns: that of the options is at most so wide.
    let private maxNameWidth = 27

    let private label (spec: OptionSpec) =
        if spec.Kind = ValueKind.Flag then
            spec.Name
        else
            $"{spec.Name} {spec.Placeholder}"

    /// Longer lists of choices are left to the reference and to commands that print them.
    let private maxChoices = 8

    /// <summary>The sentence of an option, with its choices unless they are many.</summary>
    let sentence (spec: OptionSpec) =
        match spec.Kind with
        | ValueKind.Choice forms when forms.Length > maxChoices -> spec.About
        | ValueKind.Choice forms -> $"""{spec.About.TrimEnd('.')}: {String.concat ", " forms}."""
        | ValueKind.Flag
        | ValueKind.Text
        | ValueKind.Path -> spec.About

    let private described (command: Command) (spec: OptionSpec) =
        let note =
            if List.contains spec.Name command.Required then " (required)"
            elif spec.Default = "" then ""
            else $" [{spec.Default}]"

        sentence spec + note

    let private wrap width text = Output.wrap width 0 text

    /// Rows of two columns.
    let private columns width (rows: (string * string) list) =
        let names = min maxNameWidth (rows |> List.map (fst >> _.Length) |> List.fold max 0)

        [ for name, text in rows do
              match wrap (max 20 (width - names - 4)) text with
              | first :: others ->
                  "  " + name.PadRight names + "  " + first

                  for line in others do
                      String(' ', names + 4) + line
              | [] -> "  " + name ]

    /// <summary>How a command is called, on one line.</summary>
    let usage (command: Command) =
        let operand =
            match command.Operand with
            | None -> ""
            | Some operand ->
                let many = if operand.Many then $"{operand.Name}..." else operand.Name
                if operand.Least = 0 then $" [{many}]" else $" {many}"

        let required =
            command.Required
            |> List.map (fun name -> " " + label (command.Options |> List.find (fun spec -> spec.Name = name)))
            |> String.concat ""

        let optional = if command.Options.Length > command.Required.Length then " [OPTIONS]" else ""
        $"normfree {command.Name}{operand}{required}{optional}"

    /// The command with the options that most uses need, or with all of them.
    let private shortened (command: Command) =
        match command.Common with
        | [] -> command
        | common ->
            { command with
                Options = command.Options |> List.filter (fun spec -> List.contains spec.Name common) }

    /// <summary>The help of a command in lines of at most that width: all options, or those that most uses need.</summary>
    let command showsAll width (whole: Command) : string list =
        let command = if showsAll then whole else shortened whole
        let left = whole.Options.Length - command.Options.Length
        let groups = command.Options |> List.groupBy _.Group

        let operand =
            [ match command.Operand with
              | Some operand ->
                  let words = String.concat ", " operand.Words
                  operand.Name, (if words = "" then operand.About else $"{operand.About.TrimEnd('.')}: {words}.")
              | None -> () ]

        // All groups share their columns.
        let names =
            operand @ [ for spec in command.Options -> label spec, described command spec ] |> columns width

        let isName (line: string) = line.Length > 2 && line[2] <> ' '

        let rec blocks lines =
            match lines with
            | [] -> []
            | first :: rest ->
                (first :: List.takeWhile (isName >> not) rest) :: blocks (List.skipWhile (isName >> not) rest)

        let operandBlocks, optionBlocks = blocks names |> List.splitAt operand.Length

        let headings =
            groups |> List.collect (fun (name, specs) -> name :: List.replicate (specs.Length - 1) "")

        [ yield! wrap width command.About
          yield! wrap width ("Usage: " + usage command)
          yield! List.concat operandBlocks
          for heading, lines in List.zip headings optionBlocks do
              if heading <> "" && groups.Length > 1 then
                  heading + ":"

              yield! lines
          if left > 0 then
              yield! wrap width $"{left} more options: normfree {whole.Name} --help all" ]

    let private list width heading rows = heading :: columns width rows

    /// <summary>The help of the tool.</summary>
    let overview width : string list =
        let rows =
            [ for word in Commands.firstWords ->
                  match List.tryFind (fst >> (=) word) Commands.groups with
                  | Some(_, about) -> word, about
                  | None -> word, (Commands.all |> List.find (fun command -> command.Name = word)).About ]

        [ "NormFree: binary neural networks without batch normalisation."
          "Usage: normfree COMMAND [OPTIONS]"
          yield! list width "Commands:" rows
          "'normfree COMMAND --help' lists its options, 'normfree --version' prints the version." ]
        |> List.collect (fun line ->
            if line.Length > width && not (line.StartsWith ' ') then
                wrap width line
            else
                [ line ])

    /// <summary>The help of a command's first word that has several second words.</summary>
    let group width (word: string) : string list =
        let about = Commands.groups |> List.find (fst >> (=) word) |> snd

        let rows =
            [ for command in Commands.all do
                  if command.Name.StartsWith(word + " ") then
                      command.Name, command.About ]

        [ yield! wrap width about
          $"Usage: normfree {word} COMMAND [OPTIONS]"
          yield! list width "Commands:" rows ]

    /// <summary>The width of the terminal, or 90 columns for pipes and files.</summary>
    let width () =
        if Console.IsOutputRedirected then
            90
        else
            try
                Math.Clamp(Console.WindowWidth, 60, 100)
            with :? IO.IOException ->
                90
