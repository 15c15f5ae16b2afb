namespace NormFree.Training

open System
open System.IO
open NormFree.Data
open NormFree.Formats
open NormFree.Distributed
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs

/// <summary>Computes the confusion matrix of a network.</summary>
[<RequireQualifiedAccess>]
module ConfusionMatrix =

    let private maxPairs = 2000

    /// Eight pairs with three misclassified images each.
    let private maxMistakes, private mistakesPerPair = 24, 3

    let private thumbnailSide = 64

    /// The prediction for the image at an index of the source. `Wrong` is the predicted class and its probability if the prediction is wrong.
    type private Prediction = { Index: int; Label: int; Wrong: (int * float) option }

    /// As in <c>Sums</c>, a prediction is right if every logit is at most the label's, so NaN is never right.
    let private wrongGuess (logits: ReadOnlySpan<float32>) label =
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

    let private predictions (batch: Batch, logits: float32[]) =
        let classes = logits.Length / batch.Count

        [ for i in 0 .. batch.Count - 1 do
              let label = int batch.Labels[i]

              { Index = batch.Indices[i]
                Label = label
                Wrong = wrongGuess (ReadOnlySpan(logits, i * classes, classes)) label } ]

    let private classResults (names: string[]) (predictions: Prediction list) =
        let images, right = Array.zeroCreate names.Length, Array.zeroCreate names.Length

        for prediction in predictions do
            images[prediction.Label] <- images[prediction.Label] + 1

            if prediction.Wrong.IsNone then
                right[prediction.Label] <- right[prediction.Label] + 1

        [ for i in 0 .. names.Length - 1 -> { Name = names[i]; Images = images[i]; Right = right[i] } ]

    /// With more classes, a matrix takes too much memory.
    let private maxMatrix = 2000

    /// The results by class, and the confused pairs, most frequent first, from a matrix [truth, guess] in row-major order.
    let private ofMatrix (names: string[]) (matrix: float[]) =
        let n = names.Length
        let count truth guess = int matrix[truth * n + guess]

        [ for i in 0 .. n - 1 ->
              { Name = names[i]; Images = Seq.sumBy (count i) (seq { 0 .. n - 1 }); Right = count i i } ],
        [ for truth in 0 .. n - 1 do
              for guess in 0 .. n - 1 do
                  if guess <> truth && count truth guess > 0 then
                      { Truth = truth; Guess = guess; Count = count truth guess } ]
        |> List.sortBy (fun pair -> -pair.Count, pair.Truth, pair.Guess)

    /// <summary>The accuracy of a loaded network, its results by class, and the confused pairs, most frequent first. Each rank evaluates its shard.
    /// Networks with more than 2000 classes have no results by class.</summary>
    /// <remarks>Throws as <c>Evaluation.accuracyOfLoaded</c> does.</remarks>
    let ofLoaded (runOptions: RunOptions) batch (network: LoadedNetwork) source =
        let names = network.ImageTask.Classes
        let n = if names.Length > maxMatrix then 0 else names.Length
        let matrix = Array.zeroCreate (n * n)

        let observe (batch: Batch, logits: float32[]) =
            for prediction in predictions (batch, logits) do
                let guess = prediction.Wrong |> Option.map fst |> Option.defaultValue prediction.Label
                let place = prediction.Label * n + guess
                matrix[place] <- matrix[place] + 1.0

        let observe = if n = 0 then ignore else observe
        let accuracy = Evaluation.observedAccuracy observe runOptions batch network source
        let classes, pairs = ofMatrix (Array.truncate n names) (runOptions.Ranks.Sum matrix)
        accuracy, classes, pairs

    /// Pairs of true and predicted class, most frequent first, each with its misclassified images, most confident first.
    let private confusedPairs (predictions: Prediction list) =
        predictions
        |> List.choose (fun p ->
            p.Wrong |> Option.map (fun (guess, probability) -> (p.Label, guess), (probability, p.Index)))
        |> List.groupBy fst
        |> List.map (fun (pair, mistakes) ->
            pair, mistakes |> List.map snd |> List.sortBy (fun (p, index) -> -p, index))
        |> List.sortBy (fun (pair, mistakes) -> -mistakes.Length, pair)

    /// The test preprocessing, followed by a resize to a thumbnail.
    let private thumbnailSteps (task: ImageTask) =
        if task.Size > thumbnailSide then
            task.Preprocessing @ [ ResizeShort thumbnailSide ]
        else
            task.Preprocessing

    /// The preprocessed image as PNG in base64; None if it can no longer be read.
    let private picture (task: ImageTask) (source: ImageSource) index =
        let random = RandomStream.For(Purpose.Augmenting, 0L, 0L, int64 index)

        match source.Load index |> Result.bind (Augment.run (thumbnailSteps task) random) with
        | Ok image -> Some(image |> Encode.png |> Convert.ToBase64String)
        | Error _ -> None

    let private mistakes task (source: ImageSource) confused =
        [ for (truth, guess), mistakes in confused do
              for probability, index in List.truncate mistakesPerPair mistakes do
                  truth, guess, probability, index ]
        |> List.truncate maxMistakes
        |> List.choose (fun (truth, guess, probability, index) ->
            picture task source index
            |> Option.map (fun picture ->
                { Truth = truth
                  Guess = guess
                  Probability = probability
                  Name = Path.GetFileName(source.Name index) |> string
                  Picture = picture }))

    /// <summary>The confusion matrix of a checkpoint's network on labelled images, with thumbnails of up to 24 misclassified images.</summary>
    /// <remarks>Throws as <c>Evaluation.accuracy</c> does.</remarks>
    let measure runOptions batch (fingerprint: string) (checkpoint: Checkpoint) (source: ImageSource) : Confusion =
        let task = checkpoint.ImageTask

        let predictions =
            Evaluation.logits runOptions task batch checkpoint.Network source
            |> Seq.collect predictions
            |> List.ofSeq

        let confused = confusedPairs predictions

        { Checkpoint = fingerprint
          Stage = checkpoint.State.Stage
          Epoch = (List.last checkpoint.State.History).Epoch
          Classes = classResults task.Classes predictions
          Pairs =
            [ for (truth, guess), mistakes in List.truncate maxPairs confused ->
                  { Truth = truth; Guess = guess; Count = mistakes.Length } ]
          Mistakes = mistakes task source confused }

    /// <summary>Writes the confusion matrix of a stage's best network into the run folder, unless it exists.</summary>
    /// <remarks>Only reports use the file, so a failure is reported as a warning.</remarks>
    let internal writeFile (runOptions: RunOptions) (place: Network -> Network) batch source (folder: RunFolder) stage =
        let write fingerprint =
            let loaded = Checkpoint.load TorchSharp.torch.ScalarType.Float32 (folder.Best stage)
            use checkpoint = { loaded with Network = place loaded.Network }
            measure runOptions batch fingerprint checkpoint source |> ConfusionFile.write folder

        try
            let fingerprint = Fingerprint.ofCheckpoint (folder.Best stage)

            if not (ConfusionFile.isOf fingerprint folder) then
                write fingerprint
        with
        | :? InvalidFileException
        | :? DataException
        | :? IOException
        | :? UnauthorizedAccessException as error ->
            runOptions.OnEvent(
                Warning
                    $"{error.Message.TrimEnd('.')}: the confusion matrix was not written, and reports will not show it."
            )
