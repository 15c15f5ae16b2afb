namespace NormFree.Experiments

open System
open System.Globalization
open System.IO

/// <summary>One option of a script.</summary>
type ScriptOption<'settings> =
    {
        /// For example <c>--epochs</c>.
        Name: string
        /// The value's placeholder in the usage line, for example <c>N</c>.
        Placeholder: string
        /// The settings with this value, or None if the text is no valid value.
        Set: string -> 'settings -> 'settings option
    }

/// <summary>Parses the command lines of scripts: pairs of <c>--option value</c>.</summary>
[<RequireQualifiedAccess>]
module ScriptOptions =

    let private option name placeholder (parse: string -> 'a option) set =
        { Name = name
          Placeholder = placeholder
          Set = fun text settings -> parse text |> Option.map (fun value -> set settings value) }

    /// <summary>A positive integer.</summary>
    let count name (set: 's -> int -> 's) =
        let parse (text: string) =
            match Int32.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture) with
            | true, n when n > 0 -> Some n
            | _ -> None

        option name "N" parse set

    /// <summary>A positive, finite number.</summary>
    let number name (set: 's -> float -> 's) =
        let parse (text: string) =
            match Double.TryParse(text, CultureInfo.InvariantCulture) with
            | true, value when value > 0.0 && Double.IsFinite value -> Some value
            | _ -> None

        option name "X" parse set

    /// <summary>Any text.</summary>
    let text name (set: 's -> string -> 's) = option name "TEXT" Some set

    /// <summary>A file; the setting gets its full path.</summary>
    let file name (set: 's -> string -> 's) = option name "FILE" (Path.GetFullPath >> Some) set

    /// <summary>A Markdown file; the setting gets its full path.</summary>
    let markdown name (set: 's -> string -> 's) =
        let parse (path: string) =
            if path.EndsWith(".md", StringComparison.Ordinal) then
                Some(Path.GetFullPath path)
            else
                None

        option name "FILE.md" parse set

    /// <summary>One of these words.</summary>
    let choice name (values: (string * 'v) list) (set: 's -> 'v -> 's) =
        let parse word = values |> List.tryFind (fst >> (=) word) |> Option.map snd
        option name (String.Join('|', List.map fst values)) parse set

    /// <summary>The usage of <c>command</c> with these options.</summary>
    let usage command (options: ScriptOption<'s> list) =
        String.Join(' ', $"usage: {command}" :: [ for o in options -> $"[{o.Name} {o.Placeholder}]" ])

    /// <summary>The defaults changed by the arguments, or the first error.</summary>
    let parse (options: ScriptOption<'s> list) (defaults: 's) (arguments: string list) : Result<'s, string> =
        let rec change settings arguments =
            match arguments with
            | [] -> Ok settings
            | name :: rest ->
                match options |> List.tryFind (fun o -> o.Name = name), rest with
                | None, _ -> Error $"unknown option '{name}'"
                | Some _, [] -> Error $"{name} needs a value"
                | Some o, value :: rest ->
                    match o.Set value settings with
                    | Some settings -> change settings rest
                    | None -> Error $"{name}: '{value}' is not {o.Placeholder}"

        change defaults arguments

    /// <summary>A command line to publish: paths are cut to their last part, and words with blanks are quoted.</summary>
    let display (words: string list) =
        let shown (word: string) =
            if word.Contains '/' then
                string (Path.GetFileName(Path.TrimEndingDirectorySeparator word))
            elif word.Contains ' ' then
                $"'{word}'"
            else
                word

        words |> List.map shown |> String.concat " "
