namespace NormFree.Cli

/// <summary>Lays out tables for a width in characters.</summary>
[<RequireQualifiedAccess>]
module internal TextTable =

    /// A column takes a border and two blanks besides its text.
    let private around = 3

    let private width (widths: int list) = List.sum widths + around * widths.Length + 1

    let private longestWord (text: string) = text.Split ' ' |> Array.map _.Length |> Array.max

    let private broken width (name: string) = Output.wrap width 0 name |> String.concat "\n"

    /// <summary>The names of the columns, broken into lines where that makes the table fit; None if it does not fit.</summary>
    let headings (room: int) (columns: string list) (rows: string list list) : string list option =
        let cells =
            [ for i in 0 .. columns.Length - 1 -> rows |> List.fold (fun most row -> max most row[i].Length) 0 ]

        let whole = List.map2 (fun (name: string) cell -> max name.Length cell) columns cells
        let narrow = List.map2 (fun name cell -> max (longestWord name) cell) columns cells

        if width whole <= room then Some columns
        elif width narrow <= room then Some(List.map2 broken narrow columns)
        else None

    /// The other cells of a row with the names of their columns, as many to a line as fit.
    let private fields (room: int) (parts: string list) =
        let add (lines: string list) (part: string) =
            match lines with
            | line :: rest when line.Length + 3 + part.Length <= room -> $"{line}   {part}" :: rest
            | lines -> List.rev (Output.wrap room 4 ("  " + part)) @ lines

        List.fold add [] parts |> List.rev

    /// <summary>A table that does not fit, as one block of lines per row: its first cell, then the names and values of the others. Empty cells are
    /// omitted.</summary>
    let blocks (room: int) (columns: string list) (rows: string list list) : string list =
        [ for row in rows do
              yield! Output.wrap room 2 row.Head

              yield!
                  List.zip columns.Tail row.Tail
                  |> List.filter (fun (_, cell) -> cell <> "" && cell <> "-")
                  |> List.map (fun (name, cell) -> $"{name} {cell}")
                  |> fields room ]
