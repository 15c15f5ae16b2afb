namespace NormFree.Reporting

open System

/// <summary>A sample's size, mean and standard deviation (with n − 1; NaN for one value).</summary>
type Sample =
    { Count: int
      Mean: float
      Deviation: float }

    /// <summary>The standard error of the mean: the standard deviation divided by √n.</summary>
    member s.StandardError = s.Deviation / sqrt (float s.Count)

/// <summary>A confidence interval.</summary>
type Interval = { Low: float; High: float }

/// <summary>Means and confidence intervals.</summary>
module Statistics =

    /// <summary>Describes at least one value.</summary>
    let sample (values: float list) =
        let mean = List.average values
        let squares = values |> List.sumBy (fun value -> (value - mean) * (value - mean))

        { Count = values.Length
          Mean = mean
          Deviation = if values.Length > 1 then sqrt (squares / float (values.Length - 1)) else nan }

    /// The integral of cosᵛ⁻¹ from 0 to an angle, by Simpson's rule.
    let private cosines freedom angle =
        let steps = 2000
        let value i = cos (angle * float i / float steps) ** (freedom - 1.0)

        let weight i =
            if i = 0 || i = steps then 1.0
            elif i % 2 = 1 then 4.0
            else 2.0

        angle / float (3 * steps) * List.sum [ for i in 0..steps -> weight i * value i ]

    /// <summary>The quantile of Student's t for a two-sided 95 % interval, with 1 or more degrees of freedom.</summary>
    /// <remarks>With x = √v·tan θ, the density of x is proportional to cosᵛ⁻¹ θ dθ. The angle is found by bisection.</remarks>
    let studentT (freedom: float) =
        let wanted = 0.95 * cosines freedom (Math.PI / 2.0)

        let rec bisect low high count =
            let middle = (low + high) / 2.0

            if count = 0 then middle
            elif cosines freedom middle < wanted then bisect middle high (count - 1)
            else bisect low middle (count - 1)

        sqrt freedom * tan (bisect 0.0 (Math.PI / 2.0) 40)

    /// <summary>Welch's 95 % interval for the difference of two means, a − b, with unequal variances. Both samples need two values.</summary>
    /// <remarks>B. L. Welch, Biometrika 34 (1947), with Satterthwaite's degrees of freedom.</remarks>
    let welch (a: Sample) (b: Sample) : Interval =
        let difference = a.Mean - b.Mean
        let partOf (s: Sample) = s.Deviation * s.Deviation / float s.Count
        let partA, partB = partOf a, partOf b
        let variance = partA + partB

        if variance = 0.0 then
            { Low = difference; High = difference }
        else
            let freedom =
                variance * variance / (partA * partA / float (a.Count - 1) + partB * partB / float (b.Count - 1))

            let reach = studentT (max 1.0 freedom) * sqrt variance
            { Low = difference - reach; High = difference + reach }

    /// <summary>Student's 95 % interval for the mean of at least two values.</summary>
    let ofMean (values: float list) : Interval =
        let sample = sample values

        let reach =
            if sample.Deviation = 0.0 then
                0.0
            else
                studentT (float (values.Length - 1)) * sample.StandardError

        { Low = sample.Mean - reach; High = sample.Mean + reach }

    /// <summary>Student's 95 % interval for the mean of paired differences, a − b. It needs two pairs.</summary>
    let paired (pairs: (float * float) list) : Interval = pairs |> List.map (fun (a, b) -> a - b) |> ofMean

    /// <summary>The 95 % interval for the difference of two means, a − b, of values with their seeds: of paired differences if both have the same
    /// seeds, otherwise Welch's. It comes with whether the values are paired.</summary>
    let difference (a: ('seed * float) list) (b: ('seed * float) list) : Interval * bool =
        let seeds values = values |> List.map fst |> List.sort

        if seeds a = seeds b && List.length (List.distinct (seeds a)) = a.Length then
            let byFirst = List.sortBy fst >> List.map snd
            paired (List.zip (byFirst a) (byFirst b)), true
        else
            let values = List.map snd >> sample
            welch (values a) (values b), false
