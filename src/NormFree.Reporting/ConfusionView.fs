namespace NormFree.Reporting

open NormFree.Runs


/// What a network takes for what, for a page.
module internal ConfusionView =

    /// With more classes than this, the most frequent pairs stand for the matrix.
    let private matrixAtMost = 20

    let private pairsAtMost = 20

    let private matrix (confusion: Confusion) : Matrix =
        let counts = dict [ for pair in confusion.Pairs -> (pair.Truth, pair.Guess), pair.Count ]

        let count truth guess (result: ClassResult) =
            if truth = guess then
                result.Right
            else
                match counts.TryGetValue((truth, guess)) with
                | true, count -> count
                | _ -> 0

        { Classes = confusion.Classes |> List.map _.Name
          Counts =
            [ for truth, result in List.indexed confusion.Classes ->
                  [ for guess in 0 .. confusion.Classes.Length - 1 -> count truth guess result ] ] }

    let private share (part: int) (whole: int) = if whole = 0 then nan else float part / float whole

    let private pairs (names: string[]) (confusion: Confusion) : Table =
        let images = confusion.Classes |> List.map _.Images |> List.toArray

        { Columns = [ "class"; "taken for"; "images"; "of the class" ]
          Rows =
            [ for pair in List.truncate pairsAtMost confusion.Pairs ->
                  [ names[pair.Truth]
                    names[pair.Guess]
                    string pair.Count
                    RunTable.percent (share pair.Count images[pair.Truth]) ] ] }

    /// Worst first.
    let private classes (confusion: Confusion) : Table =
        { Columns = [ "class"; "images"; "recognised"; "top-1" ]
          Rows =
            [ for result in confusion.Classes |> List.sortBy (fun c -> share c.Right c.Images) ->
                  [ result.Name
                    string result.Images
                    string result.Right
                    RunTable.percent (share result.Right result.Images) ] ] }

    let private count number (thing: string) = if number = 1 then $"1 {thing}" else $"{number} {thing}s"

    let private gallery name (names: string[]) (confusion: Confusion) : Gallery =
        let counts = dict [ for pair in confusion.Pairs -> (pair.Truth, pair.Guess), pair.Count ]

        let heading (truth, guess) =
            let often =
                match counts.TryGetValue((truth, guess)) with
                | true, n -> ", " + count n "image"
                | _ -> ""

            $"{names[truth]} taken for {names[guess]}{often}"

        { Name = name
          Caption =
            "The mistakes of the most frequent pairs that the network was surest of, with the probability that it gave the wrong class."
          Rows =
            [ for pair, mistakes in confusion.Mistakes |> List.groupBy (fun m -> m.Truth, m.Guess) ->
                  { Heading = heading pair
                    Pictures = mistakes |> List.map (fun m -> m.Picture, $"{100.0 * m.Probability:f1} %%") } ] }

    /// The blocks of one run; `name` is what its picture file is called.
    let blocks name (confusion: Confusion) : Block list =
        let names = confusion.Classes |> List.map _.Name |> List.toArray
        let classes = classes confusion
        let images = count confusion.Images "test image"

        [ Text
              $"Of the network of epoch {confusion.Epoch} of stage {confusion.Stage}, the best of the stage: {RunTable.percent confusion.Top1} of {images} \
                recognised."
          if names.Length <= matrixAtMost then
              Confused(matrix confusion)
          elif not confusion.Pairs.IsEmpty then
              Text $"{names.Length} classes are too many for a matrix; these are the most frequent mistakes."
              Tabular(NumbersAfter 2, pairs names confusion)
          if not confusion.Mistakes.IsEmpty then
              Examples(gallery name names confusion)
          if not classes.Rows.IsEmpty then
              Folded(Closed, "Classes, worst first", [ Tabular(NumbersAfter 1, classes) ]) ]
