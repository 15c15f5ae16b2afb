namespace NormFree.Training

open System
open System.IO
open NormFree.Data
open NormFree.Formats
open NormFree.Networks
open NormFree.Runs

/// <summary>Finds out what a network takes for what.</summary>
[<RequireQualifiedAccess>]
module ConfusionMatrix =

    let private mostPairs = 2000

    /// Eight pairs, three mistakes each.
    let private mostMistakes, private mistakesOfPair = 24, 3

    let private pictureSide = 64

    /// What became of the image at a place of the source: nothing where it was recognised, else its class, the guess and its probability.
    type private Answer = { Place: int; Label: int; Wrong: (int * float) option }

    /// By the rule of <c>Sums</c>: right is what no other logit is above, and a network of NaN is never right.
    let private judge (logits: ReadOnlySpan<float32>) label =
        let mutable sum, guess, isRight = 0.0, -1, true
        let mutable top = Single.NegativeInfinity

        for i in 0 .. logits.Length - 1 do
            isRight <- isRight && logits[i] <= logits[label]
            top <- max top logits[i]

            if i <> label && (guess < 0 || logits[i] > logits[guess]) then
                guess <- i

        for i in 0 .. logits.Length - 1 do
            sum <- sum + exp (float (logits[i] - top))

        if isRight then None else Some(guess, exp (float (logits[guess] - top)) / sum)

    let private answers (batch: Batch, logits: float32[]) =
        let classes = logits.Length / batch.Count

        [ for i in 0 .. batch.Count - 1 do
              let label = int batch.Labels[i]

              { Place = batch.Indices[i]
                Label = label
                Wrong = judge (ReadOnlySpan(logits, i * classes, classes)) label } ]

    let private classResults (names: string[]) (answers: Answer list) =
        let images, right = Array.zeroCreate names.Length, Array.zeroCreate names.Length

        for answer in answers do
            images[answer.Label] <- images[answer.Label] + 1

            if answer.Wrong.IsNone then
                right[answer.Label] <- right[answer.Label] + 1

        [ for i in 0 .. names.Length - 1 -> { Name = names[i]; Images = images[i]; Right = right[i] } ]

    /// The pairs, most frequent first, each with its mistakes, most confident first.
    let private confused (answers: Answer list) =
        answers
        |> List.choose (fun a ->
            a.Wrong |> Option.map (fun (guess, probability) -> (a.Label, guess), (probability, a.Place)))
        |> List.groupBy fst
        |> List.map (fun (pair, mistakes) ->
            pair, mistakes |> List.map snd |> List.sortBy (fun (p, place) -> -p, place))
        |> List.sortBy (fun (pair, mistakes) -> -mistakes.Length, pair)

    /// The steps behind a test's that make it small.
    let private shrink (task: ImageTask) =
        if task.Size > pictureSide then
            task.Preprocessing @ [ ResizeShort pictureSide ]
        else
            task.Preprocessing

    /// The image as the loader prepares it for a test; nothing where it cannot be read any more.
    let private picture (task: ImageTask) (source: ImageSource) place =
        let random = RandomStream.For(Purpose.Augmenting, 0L, 0L, int64 place)

        match source.Load place |> Result.bind (Augment.run (shrink task) random) with
        | Ok image -> Some(image |> Encode.png |> Convert.ToBase64String)
        | Error _ -> None

    let private mistakes task (source: ImageSource) confused =
        [ for (truth, guess), mistakes in confused do
              for probability, place in List.truncate mistakesOfPair mistakes do
                  truth, guess, probability, place ]
        |> List.truncate mostMistakes
        |> List.choose (fun (truth, guess, probability, place) ->
            picture task source place
            |> Option.map (fun picture ->
                { Truth = truth
                  Guess = guess
                  Probability = probability
                  Name = Path.GetFileName(source.Name place) |> string
                  Picture = picture }))

    /// <summary>What the network of a checkpoint takes for what among a source's labelled images: one pass over them, and a second look at 24.</summary>
    /// <remarks>Throws as <c>Evaluation.accuracy</c> does.</remarks>
    let measure runOptions batch (fingerprint: string) (checkpoint: Checkpoint) (source: ImageSource) : Confusion =
        let task = checkpoint.ImageTask

        let answers =
            Evaluation.logits runOptions task batch checkpoint.Network source
            |> Seq.collect answers
            |> List.ofSeq

        let confused = confused answers

        { Checkpoint = fingerprint
          Stage = checkpoint.State.Stage
          Epoch = (List.last checkpoint.State.History).Epoch
          Classes = classResults task.Classes answers
          Pairs =
            [ for (truth, guess), mistakes in List.truncate mostPairs confused ->
                  { Truth = truth; Guess = guess; Count = mistakes.Length } ]
          Mistakes = mistakes task source confused }

    /// <summary>Makes the file from the best network of a stage, unless it is there already.</summary>
    /// <remarks>It is for people, and the training is done: where it cannot be made, whoever watches is warned.</remarks>
    let internal keep (runOptions: RunOptions) (placed: Network -> Network) batch source (folder: RunFolder) stage =
        let make fingerprint =
            let loaded = Checkpoint.load TorchSharp.torch.ScalarType.Float32 (folder.Best stage)
            use checkpoint = { loaded with Network = placed loaded.Network }
            measure runOptions batch fingerprint checkpoint source |> ConfusionFile.write folder

        try
            let fingerprint = Fingerprint.ofCheckpoint (folder.Best stage)

            if not (ConfusionFile.isOf fingerprint folder) then
                make fingerprint
        with
        | :? InvalidFileException
        | :? DataException
        | :? IOException
        | :? UnauthorizedAccessException as error ->
            runOptions.Watch(
                Warning
                    $"{error.Message.TrimEnd('.')}: what the network takes for what is not in the run's folder, and reports will lack it."
            )
