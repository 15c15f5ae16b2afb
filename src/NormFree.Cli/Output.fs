namespace NormFree.Cli

open System
open System.Globalization
open NormFree.Formats

/// <summary>Where text leaves the program. Class names, paths and messages come from files and servers: they are escaped here, once.</summary>
[<RequireQualifiedAccess>]
module internal Output =

    let private fill (width: int) (indent: int) (words: string list) =
        let add (lines: string list) (word: string) =
            match lines with
            | line :: rest when line.Length + 1 + word.Length <= width -> $"{line} {word}" :: rest
            | [] -> [ word ]
            | lines -> String(' ', indent) + word :: lines

        List.fold add [] words |> List.rev

    /// <summary>The words of a text in lines of at most that width; later lines are indented.</summary>
    let wrap (width: int) (indent: int) (text: string) : string list = fill width indent (List.ofArray (text.Split ' '))

    /// The same, but a command at the end of a message stays whole, so that it can be copied.
    let private wrapMessage width indent (text: string) =
        match text.IndexOf ": normfree " with
        | -1 -> wrap width indent text
        | colon ->
            let prose, command = text.Substring(0, colon + 1), text.Substring(colon + 2)
            fill width indent (List.ofArray (prose.Split ' ') @ [ command ])

    /// Where the values of a line such as `parameters            380,776` begin.
    let private valueColumn (text: string) =
        let found = Text.RegularExpressions.Regex.Match(text, @"^\S[^:]{0,22}?\s{2,}")
        if found.Success then found.Length else 0

    /// The lines of a text for a terminal of that width; None for a file or pipe.
    let internal fit (width: int option) (text: string) =
        match width with
        | Some width ->
            text.Split '\n'
            |> Seq.collect (fun line ->
                if line.Length <= width then
                    [ line ]
                else
                    wrapMessage width (valueColumn line) line)
            |> String.concat "\n"
        | None -> text

    /// The columns of a terminal; None for a file or pipe, and for a terminal without a size, which mpirun gives its ranks.
    let private columns isRedirected =
        if isRedirected then
            None
        else
            try
                match Console.WindowWidth with
                | 0 -> None
                | width -> Some(max 20 width)
            with :? IO.IOException ->
                None

    /// <summary>Prints a line, or several.</summary>
    let line (text: string) = Console.WriteLine(Printable.Lines text)

    /// <summary>Prints sentences. On a terminal, long lines are broken between words.</summary>
    let prose (text: string) = Console.WriteLine(Printable.Lines text |> fit (columns Console.IsOutputRedirected))

    /// JSON allows invisible format characters; a terminal would obey them.
    let private escapeInJson (character: char) =
        match Char.GetUnicodeCategory character with
        | UnicodeCategory.Control
        | UnicodeCategory.Format -> $"\\u{int character:x4}"
        | _ -> string character

    /// <summary>Prints a JSON object on one line.</summary>
    let json (text: string) = Console.WriteLine(String.collect escapeInJson text)

    /// <summary>Prints a message on the error stream.</summary>
    let error (message: string) =
        "normfree: " + Printable.Lines(message.TrimEnd())
        |> fit (columns Console.IsErrorRedirected)
        |> Console.Error.WriteLine

    /// Launchers of MPI programs give each process its rank.
    let private isFirstRank =
        lazy
            ([ "OMPI_COMM_WORLD_RANK"; "PMI_RANK"; "PMIX_RANK" ]
             |> List.forall (fun name ->
                 match Environment.GetEnvironmentVariable name with
                 | null
                 | "0" -> true
                 | _ -> false))

    /// <summary>Prints a warning on the error stream. Of several ranks only the first prints it.</summary>
    let warn (message: string) =
        if isFirstRank.Value then
            error ("warning: " + message)
